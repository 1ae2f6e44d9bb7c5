//! What passes inside of TLS is seen at both ends: one client span and one server span for every request, of scheme
//! `https`, the second the child of the first.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apache::Apache,
    certificate,
    gated::Gated,
    https::{REQUESTS, Server, connections_open_before, each_request_is_two_spans},
    paths, privilege,
    scratch::Scratch,
};

#[test]
fn curl_and_nginx() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::curl_and_nginx") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "--http1.1", "-o", "/dev/null"]);
    each_request_is_two_spans(
        &server,
        command.args(server.urls().flat_map(|url| [url, "-o".into(), "/dev/null".into()])),
        "1.1",
    )
}

#[test]
fn curl_and_nginx_with_tls_1_2() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::curl_and_nginx_with_tls_1_2") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "--http1.1", "--tls-max", "1.2", "-o", "/dev/null"]);
    each_request_is_two_spans(
        &server,
        command.args(server.urls().flat_map(|url| [url, "-o".into(), "/dev/null".into()])),
        "1.1",
    )
}

/// The server asks for another handshake for each request, in the middle of its connection: what is read and written then
/// is no plaintext.
#[test]
fn renegotiation() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::renegotiation") else { return Ok(()) };
    let directory = Scratch::new("tls")?;
    let (key, certificate) = certificate::make(directory.path())?;
    let apache = Apache::start(&["ssl"], |files| {
        Ok(format!(
            "LogLevel ssl:info\nSSLEngine on\nSSLProtocol TLSv1.2\nSSLCertificateFile {}\n\
             SSLCertificateKeyFile {}\nAliasMatch ^/item- {}\n\
             <LocationMatch \"[02468]$\">\nSSLCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256\n</LocationMatch>\n\
             <LocationMatch \"[13579]$\">\nSSLCipherSuite ECDHE-ECDSA-AES256-GCM-SHA384\n</LocationMatch>\n",
            certificate.display(),
            key.display(),
            files.join("ok").display(),
        ))
    })?;
    let server = Server::elsewhere(apache.pid(), apache.port(), directory, certificate);
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "--http1.1", "-o", "/dev/null"]);
    command.args(server.urls().flat_map(|url| [url, "-o".into(), "/dev/null".into()]));
    each_request_is_two_spans(&server, &command, "1.1")?;
    let handshakes = apache.errors()?.matches("Awaiting re-negotiation handshake").count();
    ensure!(handshakes == REQUESTS, "{handshakes} of {REQUESTS}: {}", apache.errors()?);
    Ok(())
}

/// What is said inside is nothing that anybody parses: once that is known the kernel tells no more of it.
#[test]
fn what_speaks_nothing_known_inside_costs_no_more_records() -> Result<()> {
    const BEFORE: usize = 20;
    const AFTER: i64 = 2_000;
    let test = "tls::what_speaks_nothing_known_inside_costs_no_more_records";
    let Some(_turn) = privilege::kernel_test(test) else { return Ok(()) };
    let files = Scratch::new("noise")?;
    let (key, certificate) = certificate::make(files.path())?;
    let mut command = Command::new("/usr/bin/python3");
    command.arg(paths::app("tls_noise.py")).args([&key, &certificate]);
    let talk = Gated::new(command.args([BEFORE.to_string(), AFTER.to_string()]))?;
    let agent = Agent::run(["--pid", &talk.pid().to_string(), "--print", "none"])?;
    talk.finish()?;
    let capture = agent.stop()?;
    let count = |name: &str| capture.accounting.get(name).copied().unwrap_or_default();
    ensure!(count("honeyguide.connections.events{event=encrypted}") == 2, "{:#?}", capture.accounting);
    // Each line passes four times: it is sent and received, and so is its answer.
    let records = count("honeyguide.records{kind=data}");
    ensure!(records >= 4, "{records} records");
    ensure!(records < 4 * AFTER / 10, "{records} records of {AFTER} lines that nobody wants");
    Ok(())
}

/// Debian builds libcurl twice; its Python module is linked with the one of GnuTLS.
#[test]
fn curl_of_gnutls_and_nginx() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::curl_of_gnutls_and_nginx") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", PYCURL, &server.port().to_string(), &REQUESTS.to_string()]);
    each_request_is_two_spans(&server, &command, "1.1")
}

/// HTTP/2, which ALPN chose.
#[test]
fn curl_and_nginx_with_http2() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::curl_and_nginx_with_http2") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "--http2", "-o", "/dev/null"]);
    each_request_is_two_spans(
        &server,
        command.args(server.urls().flat_map(|url| [url, "-o".into(), "/dev/null".into()])),
        "2",
    )
}

/// The library reads and writes the socket itself.
#[test]
fn python_urllib() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::python_urllib") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("python3");
    command.args(["-c", URLLIB, &server.port().to_string(), &REQUESTS.to_string()]);
    each_request_is_two_spans(&server, &command, "1.1")
}

/// The program carries the ciphertext: several connections take turns on one thread.
#[test]
fn python_asyncio() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::python_asyncio") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("python3");
    command.args(["-c", ASYNCIO, &server.port().to_string(), &REQUESTS.to_string()]);
    each_request_is_two_spans(&server, &command, "1.1")
}

/// OpenSSL inside of the program, and memory BIOs.
#[test]
fn node() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::node") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("node");
    command.args(["-e", NODE, &server.port().to_string(), &REQUESTS.to_string()]);
    each_request_is_two_spans(&server, &command, "1.1")
}

/// Debian's wget is GnuTLS's.
#[test]
fn wget() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::wget") else { return Ok(()) };
    let server = Server::nginx()?;
    let mut command = Command::new("wget");
    command.args(["-q", "--no-check-certificate", "-O", "/dev/null"]).args(server.urls());
    each_request_is_two_spans(&server, &command, "1.1")
}

/// Connections that were open before the agent came, in use by turns on one thread of the client.
#[test]
fn connections_that_were_open_before() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::connections_that_were_open_before") else { return Ok(()) };
    for script in [URLLIB_LATER, ASYNCIO_LATER] {
        let server = Server::nginx()?;
        let mut client = Command::new("python3");
        client.args(["-c", script, &server.port().to_string(), &REQUESTS.to_string()]);
        connections_open_before(&server, &mut client, "1.1")?;
    }
    Ok(())
}

#[test]
fn switched_off_nothing_inside_is_seen() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls::switched_off_nothing_inside_is_seen") else {
        return Ok(());
    };
    let server = Server::nginx()?;
    let config = server.directory().join("off.yaml");
    fs::write(&config, "capture: { tls: false }\n")?;
    let mut command = Command::new("curl");
    let client = Gated::new(command.args(["-sS", "-k", "-o", "/dev/null", &server.base()]))?;
    let pids = [server.pid(), client.pid()].map(|pid| pid.to_string());
    let config = config.to_string_lossy();
    let agent = Agent::run(["--config", &config, "--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    client.finish()?;
    let capture = agent.stop()?;
    ensure!(capture.spans.is_empty(), "{:?}", capture.spans);
    Ok(())
}

const PYCURL: &str = "
import pycurl, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
assert 'GnuTLS' in pycurl.version
curl = pycurl.Curl()
curl.setopt(pycurl.SSL_VERIFYPEER, 0)
curl.setopt(pycurl.SSL_VERIFYHOST, 0)
curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
curl.setopt(pycurl.WRITEFUNCTION, lambda body: None)
for number in range(count):
    curl.setopt(pycurl.URL, f'https://127.0.0.1:{port}/item-{number}')
    curl.perform()
    assert curl.getinfo(pycurl.RESPONSE_CODE) == 200
";

const URLLIB: &str = "
import http.client, ssl, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
connection = http.client.HTTPSConnection('127.0.0.1', port, context=ssl._create_unverified_context())
for number in range(count):
    connection.request('GET', f'/item-{number}')
    assert connection.getresponse().read() == b'inside'
";

const ASYNCIO: &str = "
import asyncio, ssl, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
async def ask(connection, number):
    reader, writer = connection
    writer.write(f'GET /item-{number} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n'.encode())
    while await reader.readline() != b'\\r\\n': pass
    assert await reader.readexactly(6) == b'inside'
async def lane(lane):
    connection = await asyncio.open_connection('127.0.0.1', port, ssl=ssl._create_unverified_context())
    for number in range(lane, count, 4): await ask(connection, number)
    connection[1].close()
async def main(): await asyncio.gather(*[lane(number) for number in range(4)])
asyncio.run(main())
";

const NODE: &str = "
const https = require('https'), [port, count] = process.argv.slice(1).map(Number);
const agent = new https.Agent({ keepAlive: true, maxSockets: 3, rejectUnauthorized: false });
let left = count;
const ask = (number) =>
  https.get({ host: '127.0.0.1', port, path: `/item-${number}`, agent }, (response) => {
    response.resume();
    response.on('end', () => { if (--left === 0) agent.destroy(); });
  });
// What is linked statically is known a moment after the program's start.
setTimeout(() => { for (let number = 0; number < count; number++) ask(number); }, 1000);
";

const URLLIB_LATER: &str = "
import http.client, os, ssl, sys, time
port, count, gate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
connections = [http.client.HTTPSConnection('127.0.0.1', port, context=ssl._create_unverified_context()) for _ in range(3)]
for connection in connections:
    connection.request('GET', '/before')
    connection.getresponse().read()
open(gate + '/open', 'w').close()
while not os.path.exists(gate + '/go'): time.sleep(0.02)
for number in range(count):
    connections[number % 3].request('GET', f'/item-{number}')
    assert connections[number % 3].getresponse().read() == b'inside'
";

const ASYNCIO_LATER: &str = "
import asyncio, os, ssl, sys
port, count, gate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
async def ask(connection, path):
    reader, writer = connection
    writer.write(f'GET {path} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n'.encode())
    while await reader.readline() != b'\\r\\n': pass
    assert await reader.readexactly(6) == b'inside'
async def lane(connection, lane):
    for number in range(lane, count, 4): await ask(connection, f'/item-{number}')
async def main():
    connect = lambda: asyncio.open_connection('127.0.0.1', port, ssl=ssl._create_unverified_context())
    connections = [await connect() for _ in range(4)]
    for connection in connections: await ask(connection, '/before')
    open(gate + '/open', 'w').close()
    while not os.path.exists(gate + '/go'): await asyncio.sleep(0.02)
    await asyncio.gather(*[lane(connection, number) for number, connection in enumerate(connections)])
asyncio.run(main())
";
