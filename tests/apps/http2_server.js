// Paths answer with the status they name, over HTTP/2 without TLS. Takes a port; BODY is the size of an answer.
'use strict';
const http2 = require('node:http2');

const BODY = 'a'.repeat(Number(process.env.BODY));
const server = http2.createServer();
server.on('stream', (stream, headers) => {
  const status = Number(headers[':path'].split('/')[1]);
  stream.resume();
  stream.on('end', () => {
    stream.respond({ ':status': status, 'content-type': 'text/plain' });
    stream.end(BODY);
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
