// One HTTP/2 connection, many streams. Takes a URL, the number of streams at once and the number of requests of
// each; BODY is the size of what is posted.
'use strict';
const http2 = require('node:http2');

const [url, streams, requests] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const BODY = 'b'.repeat(Number(process.env.BODY));
const session = http2.connect(url);
session.on('error', (error) => {
  console.error(error);
  process.exit(1);
});

function send(lane, number) {
  return new Promise((resolve, reject) => {
    const status = [200, 201, 404, 500][number % 4];
    const method = status === 201 ? 'POST' : 'GET';
    const stream = session.request({ ':method': method, ':path': `/${status}/${lane}/${number}` });
    stream.on('response', (headers) => {
      if (headers[':status'] !== status) reject(new Error(`${headers[':status']}, not ${status}`));
    });
    stream.on('error', reject);
    stream.on('end', resolve);
    stream.resume();
    stream.end(status === 201 ? BODY : undefined);
  });
}

async function lane(name) {
  for (let number = 0; number < requests; number++) await send(name, number);
}

Promise.all(Array.from({ length: streams }, (_, name) => lane(name))).then(
  () => session.close(),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
