// The scripted routes on Node's own http. Takes a port.
'use strict';
const http = require('node:http');

const BIG = Buffer.alloc(65536, 'z');

function route(method, path) {
  if (path === '/ok') return [200, 'ok'];
  if (path === '/big') return [200, BIG];
  if (path === '/moved') return [302, ''];
  if (path === '/fail') return [500, 'failed'];
  if (path === '/items' && method === 'POST') return [201, 'made'];
  if (/^\/items\/\d+$/.test(path)) return method === 'DELETE' ? [204, ''] : [200, 'item'];
  return [404, 'not here'];
}

const server = http.createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    const [status, body] = route(request.method, request.url.split('?')[0]);
    response.writeHead(status, status === 302 ? { Location: '/ok' } : {});
    response.end(body);
  });
});
// A client that meets the moment of an idle close loses a request.
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), '127.0.0.1');
