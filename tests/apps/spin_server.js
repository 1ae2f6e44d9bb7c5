// Computes for as long as the path says: /compute/MS of CPU time. Takes a port.
'use strict';
const http = require('node:http');

http.createServer((request, response) => {
  const microseconds = Number(request.url.split('/')[2]) * 1000;
  const begun = process.cpuUsage();
  let used = 0;
  while (used < microseconds) {
    const since = process.cpuUsage(begun);
    used = since.user + since.system;
  }
  response.end();
}).listen(Number(process.argv[2]), '127.0.0.1');
