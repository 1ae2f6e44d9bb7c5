// What sdk_app.py does, on Node's http, for OpenTelemetry's automatic instrumentation to find. Takes a port and where to call.
'use strict';

const http = require('http');
const net = require('net');

const upstream = new URL(process.argv[3]);

// A call that the SDK sees.
function seen(number, then) {
  http.get(`${upstream.origin}/seen/${number}`, (answer) => answer.resume().on('end', then));
}

// One that it does not.
function unseen(number, then) {
  const socket = net.connect(upstream.port, upstream.hostname);
  socket.end(`GET /unseen/${number} HTTP/1.0\r\nHost: upstream\r\n\r\n`);
  socket.resume().on('end', then);
}

http
  .createServer((request, response) => {
    const [, route, number] = request.url.split('/');
    if (route === 'two') {
      seen(number, () => unseen(number, () => response.end('ok')));
    } else {
      response.end(number);
    }
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
