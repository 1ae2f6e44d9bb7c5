//! nginx with a configuration of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{client::Address, guard::Guard, port, proc, scratch::Scratch};

/// A running nginx: a master and its workers.
#[derive(Debug)]
pub struct Nginx {
    guard: Guard,
    port: u16,
    _prefix: Scratch,
}

impl Nginx {
    /// Starts nginx with `workers` workers and `server` inside its `server` block, on a free port.
    /// `files` are written under its document root.
    ///
    /// # Errors
    /// When nginx is not there, refuses its configuration or does not listen.
    pub fn start(workers: u32, server: &str, files: &[(&str, &[u8])]) -> Result<Self> {
        Self::with_upstreams(workers, "", server, files)
    }

    /// The same with `upstreams` before the `server` block.
    ///
    /// # Errors
    /// As for [`Nginx::start`].
    pub fn with_upstreams(
        workers: u32,
        upstreams: &str,
        server: &str,
        files: &[(&str, &[u8])],
    ) -> Result<Self> {
        let prefix = Scratch::new("nginx")?;
        let port = port::free()?;
        for directory in ["html", "tmp"] {
            fs::create_dir_all(prefix.join(directory))?;
        }
        for (name, bytes) in files {
            fs::write(prefix.join("html").join(name), bytes)?;
        }
        let root = prefix.path().display();
        // Root workers can read the temporary directory; without root the directive would only warn.
        let user = if crate::privilege::is_root() { "user root;" } else { "" };
        let configuration = format!(
            "daemon off; worker_processes {workers}; pid {root}/pid; error_log stderr warn; {user}\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n\
               access_log off; keepalive_requests 10000000; sendfile on; default_type text/plain;\n\
               client_body_temp_path {root}/tmp/body; proxy_temp_path {root}/tmp/proxy;\n\
               fastcgi_temp_path {root}/tmp/f; uwsgi_temp_path {root}/tmp/u; scgi_temp_path {root}/tmp/s;\n\
               {upstreams}\n\
               server {{ listen 127.0.0.1:{port} backlog=1024; root {root}/html;\n{server}\n}}\n\
             }}\n"
        );
        fs::write(prefix.join("nginx.conf"), configuration)?;
        let mut command = Command::new("nginx");
        // Debian keeps it in /usr/sbin, which is not on every user's path.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        if !path.split(':').any(|directory| directory == "/usr/sbin") {
            command = Command::new("/usr/sbin/nginx");
        }
        command.arg("-p").arg(prefix.path()).arg("-c").arg(prefix.join("nginx.conf")).args(["-e", "stderr"]);
        let mut guard = Guard::spawn(command).context("nginx: `apt-get install nginx` brings it")?;
        port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self { guard, port, _prefix: prefix })
    }

    /// The server of the scripted tests: the routes of [`crate::apps`].
    ///
    /// # Errors
    /// As for [`Nginx::start`].
    pub fn scripted() -> Result<Self> {
        let server = "location = /ok { return 200 'ok'; }\n\
            location = /fail { return 500; }\n\
            location = /moved { return 302 /ok; }\n\
            location = /items { client_max_body_size 1m; return 201 'made'; }\n\
            location ~ ^/items/\\d+$ { if ($request_method = DELETE) { return 204; } return 200 'item'; }\n";
        Self::start(1, server, &[("big", &[b'z'; 65_536])])
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn address(&self) -> Address {
        Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// The master process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// The worker processes.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        proc::children(self.pid())
    }
}
