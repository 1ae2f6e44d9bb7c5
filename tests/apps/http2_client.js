// One HTTP/2 connection, many streams. Takes a URL, the number of streams at once and the number of requests of
// each; BODY is the size of what is posted, FIELDS are more of each request's (JSON), QUERY ends its path. With GATE
// each lane stops after WARM requests, says so, and goes on when that file is there.
'use strict';
const fs = require('node:fs');
const http2 = require('node:http2');

const [url, streams, requests] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const BODY = 'b'.repeat(Number(process.env.BODY));
const FIELDS = JSON.parse(process.env.FIELDS || '{}');
const QUERY = process.env.QUERY || '';
const session = http2.connect(url);
session.on('error', (error) => {
  console.error(error);
  process.exit(1);
});

function send(lane, number) {
  return new Promise((resolve, reject) => {
    const status = [200, 201, 404, 500][number % 4];
    const method = status === 201 ? 'POST' : 'GET';
    const path = `/${status}/${lane}/${number}${QUERY}`;
    const stream = session.request({ ':method': method, ':path': path, ...FIELDS });
    stream.on('response', (headers) => {
      if (headers[':status'] !== status) reject(new Error(`${headers[':status']}, not ${status}`));
    });
    stream.on('error', reject);
    stream.on('end', resolve);
    stream.resume();
    stream.end(status === 201 ? BODY : undefined);
  });
}

const GATE = process.env.GATE;
const WARM = Number(process.env.WARM);
let stopped = 0;

async function gate() {
  if (++stopped === streams) console.log('warm');
  while (!fs.existsSync(GATE)) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function lane(name) {
  for (let number = 0; number < requests; number++) {
    if (GATE && number === WARM) await gate();
    await send(name, number);
  }
}

Promise.all(Array.from({ length: streams }, (_, name) => lane(name))).then(
  () => session.close(),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
