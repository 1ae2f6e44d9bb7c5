//! OTLP destinations as a layer of settings says them, and how layers and signals come together.

use std::{path::PathBuf, time::Duration};

use crate::export::settings::{
    Compression, OtlpSettings, PROFILES_PATH, Protocol, QueueSettings, RetrySettings, SignalSettings,
    TlsSettings, signal_endpoint,
};

/// What one layer says of a destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DestinationLayer {
    pub name: Option<String>,
    /// For every signal.
    pub general: SignalLayer,
    pub traces: SignalLayer,
    pub metrics: SignalLayer,
    pub profiles: SignalLayer,
    pub max_queue: Option<usize>,
    pub max_batch: Option<usize>,
    pub delay: Option<Duration>,
    pub in_flight: Option<usize>,
    pub retry_initial: Option<Duration>,
    pub retry_max: Option<Duration>,
    pub retry_max_elapsed: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalLayer {
    pub enabled: Option<bool>,
    pub endpoint: Option<String>,
    pub protocol: Option<Protocol>,
    pub headers: Option<Vec<(String, String)>>,
    pub compression: Option<Compression>,
    pub timeout: Option<Duration>,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub insecure: Option<bool>,
}

impl DestinationLayer {
    /// This layer before `lower`. What this one says of every signal also goes before what the lower one says of one.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        let signal = |own: SignalLayer, theirs: SignalLayer| own.over(theirs.without(&self.general));
        Self {
            name: self.name.or(lower.name),
            traces: signal(self.traces, lower.traces),
            metrics: signal(self.metrics, lower.metrics),
            profiles: signal(self.profiles, lower.profiles),
            general: self.general.over(lower.general),
            max_queue: self.max_queue.or(lower.max_queue),
            max_batch: self.max_batch.or(lower.max_batch),
            delay: self.delay.or(lower.delay),
            in_flight: self.in_flight.or(lower.in_flight),
            retry_initial: self.retry_initial.or(lower.retry_initial),
            retry_max: self.retry_max.or(lower.retry_max),
            retry_max_elapsed: self.retry_max_elapsed.or(lower.retry_max_elapsed),
        }
    }

    /// An endpoint is what makes a destination; timeouts and certificates alone do not ask for export.
    pub(super) fn has_endpoint(&self) -> bool {
        [&self.general, &self.traces, &self.metrics, &self.profiles]
            .iter()
            .any(|signal| signal.endpoint.is_some())
    }

    pub(super) fn into_settings(self, index: usize) -> OtlpSettings {
        let queue = QueueSettings::default();
        let retry = RetrySettings::default();
        let max_queue = self.max_queue.unwrap_or(queue.max_queue);
        let number = index + 1;
        let name = if index == 0 { "otlp".to_owned() } else { format!("otlp-{number}") };
        OtlpSettings {
            name: self.name.unwrap_or(name),
            traces: self.traces.into_settings(&self.general, "v1/traces"),
            metrics: self.metrics.into_settings(&self.general, "v1/metrics"),
            profiles: self.profiles.into_settings(&self.general, PROFILES_PATH),
            queue: QueueSettings {
                max_queue,
                max_batch: self.max_batch.unwrap_or(queue.max_batch).min(max_queue),
                delay: self.delay.unwrap_or(queue.delay),
                in_flight: self.in_flight.unwrap_or(queue.in_flight),
            },
            retry: RetrySettings {
                initial: self.retry_initial.unwrap_or(retry.initial),
                max: self.retry_max.unwrap_or(retry.max),
                max_elapsed: self.retry_max_elapsed.unwrap_or(retry.max_elapsed),
            },
        }
    }
}

impl SignalLayer {
    fn over(self, lower: Self) -> Self {
        Self {
            enabled: self.enabled.or(lower.enabled),
            endpoint: self.endpoint.or(lower.endpoint),
            protocol: self.protocol.or(lower.protocol),
            headers: self.headers.or(lower.headers),
            compression: self.compression.or(lower.compression),
            timeout: self.timeout.or(lower.timeout),
            ca: self.ca.or(lower.ca),
            certificate: self.certificate.or(lower.certificate),
            key: self.key.or(lower.key),
            insecure: self.insecure.or(lower.insecure),
        }
    }

    /// Only what `other` does not say.
    fn without(self, other: &Self) -> Self {
        fn keep<T, U>(own: Option<T>, other: Option<&U>) -> Option<T> {
            own.filter(|_| other.is_none())
        }
        Self {
            enabled: keep(self.enabled, other.enabled.as_ref()),
            endpoint: keep(self.endpoint, other.endpoint.as_ref()),
            protocol: keep(self.protocol, other.protocol.as_ref()),
            headers: keep(self.headers, other.headers.as_ref()),
            compression: keep(self.compression, other.compression.as_ref()),
            timeout: keep(self.timeout, other.timeout.as_ref()),
            ca: keep(self.ca, other.ca.as_ref()),
            certificate: keep(self.certificate, other.certificate.as_ref()),
            key: keep(self.key, other.key.as_ref()),
            insecure: keep(self.insecure, other.insecure.as_ref()),
        }
    }

    fn into_settings(self, general: &Self, path: &str) -> Option<SignalSettings> {
        if self.enabled == Some(false) {
            return None;
        }
        let protocol = self.protocol.or(general.protocol).unwrap_or_default();
        let base = || general.endpoint.as_deref().unwrap_or(protocol.default_endpoint());
        Some(SignalSettings {
            // An endpoint of the signal's own is taken as it is (OTLP exporter specification).
            endpoint: self.endpoint.unwrap_or_else(|| signal_endpoint(base(), protocol, path)),
            protocol,
            headers: self.headers.or_else(|| general.headers.clone()).unwrap_or_default(),
            compression: self.compression.or(general.compression).unwrap_or_default(),
            timeout: self.timeout.or(general.timeout).unwrap_or(SignalSettings::default().timeout),
            tls: TlsSettings {
                ca: self.ca.or_else(|| general.ca.clone()),
                certificate: self.certificate.or_else(|| general.certificate.clone()),
                key: self.key.or_else(|| general.key.clone()),
                insecure: self.insecure.or(general.insecure).unwrap_or(false),
            },
        })
    }
}

/// `http://host:port`, `https://…`, and `host:port` for gRPC.
///
/// # Errors
/// What is allowed.
pub fn endpoint(text: &str) -> Result<String, String> {
    let wrong = || "a URL such as http://collector:4318 or, for grpc, collector:4317 is allowed".to_owned();
    let rest = match text.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return Err(wrong()),
        None => text,
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let complete = text.contains("://") || has_port;
    if host.is_empty() || !complete || text.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general(endpoint: &str) -> DestinationLayer {
        let general = SignalLayer { endpoint: Some(endpoint.into()), ..SignalLayer::default() };
        DestinationLayer { general, ..DestinationLayer::default() }
    }

    fn endpoints(layer: DestinationLayer) -> [String; 2] {
        let settings = layer.into_settings(0);
        [settings.traces.unwrap().endpoint, settings.metrics.unwrap().endpoint]
    }

    #[test]
    fn a_general_endpoint_gets_the_signals_path_and_a_signals_own_does_not() {
        assert_eq!(
            endpoints(general("http://c:4318/")),
            ["http://c:4318/v1/traces", "http://c:4318/v1/metrics"]
        );
        let mut own = general("http://c:4318");
        own.traces.endpoint = Some("http://t/x".into());
        assert_eq!(endpoints(own), ["http://t/x", "http://c:4318/v1/metrics"]);
        let mut grpc = general("c:4317");
        grpc.general.protocol = Some(Protocol::Grpc);
        assert_eq!(endpoints(grpc), ["c:4317", "c:4317"]);
        assert_eq!(
            endpoints(DestinationLayer::default()),
            ["http://localhost:4318/v1/traces", "http://localhost:4318/v1/metrics"]
        );
    }

    #[test]
    fn a_higher_layers_general_word_goes_before_a_lower_layers_special_one() {
        let mut file = general("http://file");
        file.traces.endpoint = Some("http://file-traces".into());
        file.traces.timeout = Some(Duration::from_secs(3));
        let merged = general("http://flag").over(file).into_settings(0);
        let traces = merged.traces.unwrap();
        assert_eq!(
            (traces.endpoint.as_str(), traces.timeout),
            ("http://flag/v1/traces", Duration::from_secs(3))
        );
    }

    #[test]
    fn a_signal_can_be_left_out() {
        let mut layer = general("http://c");
        layer.metrics.enabled = Some(false);
        assert_eq!(layer.into_settings(1).metrics, None);
    }

    #[test]
    fn endpoints_that_cannot_be() {
        for good in ["http://c", "https://c:4318/x", "c:4317", "http://[::1]:4317"] {
            assert_eq!(endpoint(good).as_deref(), Ok(good));
        }
        for wrong in ["", "c", "ftp://c", "http://", "http:// c", "c:x"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
