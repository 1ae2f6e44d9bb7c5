// The demo's catalogue, on Node's own http. PRICES is where its prices come from. Takes a port.
'use strict';
const http = require('node:http');

const agent = new http.Agent({ keepAlive: true });

function answer(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function quote(id, response) {
  const request = http.get(`${process.env.PRICES}/prices/${id}`, { agent }, (prices) => {
    let body = '';
    prices.on('data', (chunk) => { body += chunk; });
    prices.on('end', () => answer(response, 200, { id, ...JSON.parse(body) }));
  });
  request.on('error', (error) => answer(response, 502, { error: error.message }));
}

http.createServer((request, response) => {
  const [, what, id] = request.url.split('?')[0].split('/');
  request.resume();
  if (what === 'quote') quote(id, response);
  else if (what === 'items') answer(response, 200, { id, name: 'a jar of honey' });
  else answer(response, 404, { error: 'no such thing' });
}).listen(Number(process.argv[2]), '127.0.0.1');
