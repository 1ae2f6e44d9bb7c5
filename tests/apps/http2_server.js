// Paths answer with the status they name, over HTTP/2 without TLS. Takes a port.
'use strict';
const http2 = require('node:http2');

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  const status = Number(headers[':path'].split('/')[1]);
  stream.resume();
  stream.on('end', () => {
    stream.respond({ ':status': status, 'content-type': 'text/plain' });
    stream.end(status === 204 ? undefined : 'a'.repeat(2000));
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
