use std::{fs, path::Path, sync::Arc, time::Duration};

use honeyguide::export::{
    Exporters,
    counters::ExportCounters,
    settings::{ExportSettings, OtlpSettings, Protocol, TlsSettings},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::{
    grpc::Collector,
    peer::Peer,
    sample::{directory, five_spans, otlp, with},
};

/// An authority of its own with a server's and a client's certificate, as PEM.
struct Pki {
    ca: String,
    server: (String, String),
    client: (String, String),
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
        };
        Self { ca: ca.pem(), server: issue("localhost"), client: issue("agent") }
    }

    /// Writes what a client needs.
    fn settings(&self, directory: &Path) -> TlsSettings {
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        TlsSettings {
            ca: write("ca.pem", &self.ca),
            certificate: write("client.pem", &self.client.0),
            key: write("client.key", &self.client.1),
            insecure: false,
        }
    }

    /// A server that wants to see a client certificate of the same authority.
    fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let chain = vec![CertificateDer::from_pem_slice(self.server.0.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.server.1.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(chain, key);
        Arc::new(config.unwrap())
    }

    fn tonic_config(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.server.0, &self.server.1))
            .client_ca_root(Certificate::from_pem(&self.ca))
    }
}

fn through(endpoint: &str, protocol: Protocol, tls: &TlsSettings) -> OtlpSettings {
    let mut settings = with(otlp(endpoint, protocol), |signal| {
        signal.tls = tls.clone();
        signal.timeout = Duration::from_secs(5);
    });
    settings.retry.max_elapsed = Duration::from_millis(100);
    settings
}

#[test]
fn both_transports_trust_the_given_authority_and_show_their_certificate() {
    let pki = Pki::new();
    let tls = pki.settings(&directory("tls-both"));
    let peer = Peer::start_with([], Some(pki.server_config()));
    let http = format!("https://localhost:{}", peer.port);
    let port = Collector::default().serve(Some(pki.tonic_config()));
    // Without a scheme gRPC is TLS.
    for (endpoint, protocol) in [
        (http, Protocol::HttpProtobuf),
        (format!("https://localhost:{port}"), Protocol::Grpc),
        (format!("localhost:{port}"), Protocol::Grpc),
    ] {
        let counted = five_spans(through(&endpoint, protocol, &tls));
        assert_eq!((counted.exported, counted.requests), (5, 1), "{endpoint}");
    }
}

#[test]
fn a_peer_that_is_not_who_it_should_be_gets_nothing() {
    let (pki, other) = (Pki::new(), Pki::new());
    let good = pki.settings(&directory("tls-good"));
    let strange = TlsSettings { ca: other.settings(&directory("tls-other")).ca, ..good.clone() };
    let anonymous = TlsSettings { certificate: None, key: None, ..good.clone() };
    let collector = Collector::default();
    let port = collector.serve(Some(pki.tonic_config()));
    for (host, tls) in [("localhost", &strange), ("localhost", &anonymous), ("127.0.0.1", &good)] {
        let counted = five_spans(through(&format!("https://{host}:{port}"), Protocol::Grpc, tls));
        assert_eq!((counted.exported, counted.retries_exhausted), (0, 5), "{host} {tls:?}");
    }
    assert_eq!(collector.seen.lock().unwrap().len(), 0);
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let pki = Pki::new();
    let good = pki.settings(&directory("tls-settings"));
    let error = |endpoint: &str, protocol, tls: TlsSettings| {
        let otlp = vec![through(endpoint, protocol, &tls)];
        let settings = ExportSettings { otlp, ..ExportSettings::default() };
        format!("{:#}", Exporters::start(settings, &ExportCounters::default()).unwrap_err())
    };
    const HTTP: &str = "https://localhost:1";
    let no_key = TlsSettings { key: None, ..good.clone() };
    assert_eq!(
        error(HTTP, Protocol::Grpc, no_key),
        "OTLP endpoint \"https://localhost:1\": a client certificate is set but its key is not"
    );
    let empty = TlsSettings { ca: good.key.clone(), ..TlsSettings::default() };
    let message = error(HTTP, Protocol::Grpc, empty);
    assert!(message.ends_with("client.key holds no PEM certificate"), "{message}");
    let missing = TlsSettings { ca: Some("/none/ca.pem".into()), ..TlsSettings::default() };
    let message = error(HTTP, Protocol::HttpJson, missing);
    assert!(message.contains("cannot read certificates from /none/ca.pem: "), "{message}");
    assert_eq!(
        error("ftp://localhost", Protocol::HttpJson, TlsSettings::default()),
        "OTLP endpoint \"ftp://localhost/v1/traces\": \
         an OTLP/HTTP endpoint is a URL such as http://localhost:4318/v1/traces"
    );
    let message = error("http://[", Protocol::Grpc, TlsSettings::default());
    assert!(message.starts_with("OTLP endpoint \"http://[\": not a URL"), "{message}");
}
