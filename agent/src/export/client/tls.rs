//! The connection below both transports: TCP, and TLS where the endpoint says `https`.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::export::settings::{SignalSettings, TlsSettings};

pub(super) type Connector = HttpsConnector<HttpConnector>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

pub(super) fn connector(settings: &SignalSettings, uri: &Uri, version: Version) -> anyhow::Result<Connector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(settings.timeout));
    let secure = uri.scheme_str() == Some("https");
    let builder =
        HttpsConnectorBuilder::new().with_tls_config(config(&settings.tls, secure)?).https_or_http();
    Ok(match version {
        Version::Http1 => builder.enable_http1().wrap_connector(tcp),
        Version::Http2 => builder.enable_http2().wrap_connector(tcp),
    })
}

fn config(settings: &TlsSettings, secure: bool) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    if !secure {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let builder = builder.with_root_certificates(roots(settings.ca.as_deref())?);
    match (&settings.certificate, &settings.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .with_context(|| format!("cannot read a private key from {}", key.display()))?;
            builder
                .with_client_auth_cert(chain, key)
                .context("the client certificate and its key do not go together")
        }
        (Some(_), None) => bail!("a client certificate is set but its key is not"),
        (None, Some(_)) => bail!("a client key is set but its certificate is not"),
    }
}

fn roots(ca: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = ca else {
        // Single unreadable files among the system's are common and harmless.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            bail!(
                "no certificate authorities found on this system; install ca-certificates or set a CA file"
            );
        }
        return Ok(roots);
    };
    for certificate in certificates(ca)? {
        roots.add(certificate).with_context(|| format!("{} cannot be used as a CA", ca.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read certificates from {}", path.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no PEM certificate", path.display());
    }
    Ok(certificates)
}
