//! TLS libraries wherever they lie and whenever they are loaded; and the ways in which Python and Node use them.

use std::{fs, process::Command};

use anyhow::Result;
use honeyguide_tests::{
    https::{REQUESTS, Server, connections_open_before, each_request_is_two_spans},
    privilege, python,
    scratch::Scratch,
};

const LIBSSL: &str = "/usr/lib/x86_64-linux-gnu/libssl.so.3";

/// A copy of the library, seen under the usual path in a mount namespace of the client's own alone.
#[test]
fn another_mount_namespace() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_places::another_mount_namespace") else { return Ok(()) };
    let server = Server::nginx()?;
    let place = Scratch::new("copy")?;
    let copy = place.join("libssl.so.3");
    fs::copy(LIBSSL, &copy)?;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount --bind \"$0\" \"$1\" && shift && exec \"$@\""]);
    command.arg(&copy).args([LIBSSL, "python3", "-c", WAITS]);
    command.args([server.port().to_string(), REQUESTS.to_string()]);
    each_request_is_two_spans(&server, &command, "1.1")
}

/// The library is opened by name in the middle of the program, a moment before its first connection; it lies where
/// nobody could have looked for it.
#[test]
fn loaded_a_moment_before_it_is_used() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_places::loaded_a_moment_before_it_is_used") else {
        return Ok(());
    };
    let server = Server::nginx()?;
    let place = Scratch::new("copy")?;
    fs::copy(LIBSSL, place.join("libssl.so.3"))?;
    let mut command = Command::new("python3");
    command.args(["-c", LOADS, &server.port().to_string(), &REQUESTS.to_string()]);
    command.arg(place.path()).env("LD_LIBRARY_PATH", place.path());
    each_request_is_two_spans(&server, &command, "1.1")
}

/// From pip: urllib3 under it keeps a connection.
#[test]
fn python_requests() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_places::python_requests") else { return Ok(()) };
    let server = Server::nginx()?;
    each_request_is_two_spans(&server, &python(REQUESTS_CLIENT, &server)?, "1.1")
}

/// asyncio on both sides: both programs carry the ciphertext themselves.
#[test]
fn python_aiohttp_both_sides() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_places::python_aiohttp_both_sides") else { return Ok(()) };
    let interpreter = python::environment()?.join("bin/python");
    let server = Server::program(|certificate, key, port| {
        let mut command = Command::new(&interpreter);
        command.args(["-c", AIOHTTP_SERVER]).args([certificate, key]).arg(port.to_string());
        Ok(command)
    })?;
    each_request_is_two_spans(&server, &python(AIOHTTP_CLIENT, &server)?, "1.1")
}

#[test]
fn node_both_sides() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_places::node_both_sides") else { return Ok(()) };
    let server = Server::program(|certificate, key, port| {
        let mut command = Command::new("node");
        command.args(["-e", NODE_SERVER]).args([certificate, key]).arg(port.to_string());
        Ok(command)
    })?;
    let mut client = Command::new("node");
    client.args(["-e", NODE_CLIENT, &server.port().to_string(), &REQUESTS.to_string()]);
    each_request_is_two_spans(&server, &client, "1.1")?;
    connections_open_before(&server, &mut client, "1.1")
}

fn python(script: &str, server: &Server) -> Result<Command> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.args(["-c", script, &server.port().to_string(), &REQUESTS.to_string()]);
    Ok(command)
}

/// What nobody has run yet is known a moment after it was loaded.
const WAITS: &str = "
import http.client, ssl, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
time.sleep(1)
connection = http.client.HTTPSConnection('127.0.0.1', port, context=ssl._create_unverified_context())
for number in range(count):
    connection.request('GET', f'/item-{number}')
    assert connection.getresponse().read() == b'inside'
";

const LOADS: &str = "
import sys, time
port, count, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
time.sleep(0.7)
import http.client, ssl
assert place in open('/proc/self/maps').read()
time.sleep(0.1)
connection = http.client.HTTPSConnection('127.0.0.1', port, context=ssl._create_unverified_context())
for number in range(count):
    connection.request('GET', f'/item-{number}')
    assert connection.getresponse().read() == b'inside'
";

const REQUESTS_CLIENT: &str = "
import sys, warnings, requests
warnings.simplefilter('ignore')
port, count = int(sys.argv[1]), int(sys.argv[2])
with requests.Session() as session:
    for number in range(count):
        assert session.get(f'https://127.0.0.1:{port}/item-{number}', verify=False).text == 'inside'
";

const AIOHTTP_SERVER: &str = "
import ssl, sys
from aiohttp import web
async def inside(request): return web.Response(text='inside')
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
app = web.Application()
app.router.add_get('/{name}', inside)
web.run_app(app, host='127.0.0.1', port=int(sys.argv[3]), ssl_context=context, print=None)
";

const AIOHTTP_CLIENT: &str = "
import aiohttp, asyncio, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
async def main():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=4)) as session:
        async def ask(number):
            async with session.get(f'https://127.0.0.1:{port}/item-{number}') as response:
                assert await response.text() == 'inside'
        await asyncio.gather(*[ask(number) for number in range(count)])
asyncio.run(main())
";

const NODE_SERVER: &str = "
const fs = require('fs'), [cert, key, port] = process.argv.slice(1);
require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) },
  (request, response) => response.end('inside')).listen(Number(port), '127.0.0.1');
";

const NODE_CLIENT: &str = "
const fs = require('fs'), https = require('https'), [port, count, gate] = process.argv.slice(1);
const agent = new https.Agent({ keepAlive: true, maxSockets: 3, rejectUnauthorized: false });
const ask = (path) => new Promise((resolve, reject) => {
  https.get({ host: '127.0.0.1', port, path, agent }, (response) => {
    response.resume();
    response.on('end', resolve);
  }).on('error', reject);
});
const all = () => Promise.all([...Array(Number(count)).keys()].map((number) => ask(`/item-${number}`)));
(async () => {
  if (gate) {
    await Promise.all([ask('/before'), ask('/before'), ask('/before')]);
    fs.writeFileSync(gate + '/open', '');
    while (!fs.existsSync(gate + '/go')) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await all();
  agent.destroy();
})();
";
