//! From the user's settings to those of each stage.

use std::{borrow::Cow, time::Duration};

use honeyguide_common::record::MAX_CAPTURE;

use crate::{
    config::Settings,
    engine::EngineSettings,
    link::LinkSettings,
    load::{LoadSettings, PropagationSettings},
    metrics::http::HttpMetricSettings,
    span::{http::HttpSettings, redact::Redaction, route::RouteSettings},
};

/// Records of two CPUs, and of the two ends of a connection, are this far apart at most.
const LINGER: Duration = Duration::from_millis(100);

/// Records of two CPUs alone: what comes from a socket's other end is not waited for where it does not come. A tenth of
/// the exchanges in memory is what caches hold.
const LINGER_ALONE: Duration = Duration::from_millis(10);

pub(super) fn load_settings(settings: &Settings) -> LoadSettings {
    LoadSettings {
        hook: settings.capture.hook,
        select_all: settings.select.is_everything(),
        select_ports: !settings.select.ports.is_empty(),
        tls: settings.capture.tls,
        runtimes: settings.link.tasks,
        opens: settings.link.inference,
        wakes: settings.link.wakes,
        capture_bytes: settings.capture.bytes_per_message.min(u32::try_from(MAX_CAPTURE).unwrap_or(u32::MAX)),
        ring_bytes: settings.capture.ring_bytes,
        kernel_log: settings.log,
        thread_times: settings.capture.thread_times,
        samples: settings.profile.hz,
        off_cpu: settings.profile.off_cpu,
        propagation: (settings.context.http_headers || settings.context.tcp_option).then(|| {
            PropagationSettings {
                http_headers: settings.context.http_headers,
                tcp_option: settings.context.tcp_option,
                trace_context: settings.context.tracecontext,
                reject_below: settings.sampler.reject_below(),
            }
        }),
    }
}

pub(super) fn engine(settings: &Settings) -> EngineSettings {
    EngineSettings {
        connections: settings.limits.connections,
        buffered_bytes: settings.limits.buffered_bytes,
        link: LinkSettings {
            linger: u64::try_from(LINGER.as_nanos()).unwrap_or(0),
            linger_alone: u64::try_from(LINGER_ALONE.as_nanos()).unwrap_or(0),
            limit: settings.limits.held_exchanges,
            sampler: settings.sampler,
            trace_context: settings.context.tracecontext,
            defer_to_sdk: settings.context.defer_to_sdk,
            headers: settings.context.http_headers,
            options: settings.context.tcp_option,
            inference: settings.link.inference,
            hold: u64::try_from(settings.link.hold.as_nanos()).unwrap_or(u64::MAX),
        },
        serving: settings.profile.is_on(),
        http: http(settings),
        routes: RouteSettings {
            patterns: settings.http.routes.clone(),
            automatic: settings.http.route_template,
            ..RouteSettings::default()
        },
        metrics: HttpMetricSettings {
            temporality: settings.metrics.temporality,
            cardinality_limit: settings.metrics.cardinality_limit,
            ..HttpMetricSettings::default()
        },
    }
}

fn http(settings: &Settings) -> HttpSettings {
    let defaults = HttpSettings::default();
    HttpSettings {
        known_methods: settings.http.known_methods.as_ref().map_or(defaults.known_methods, |methods| {
            methods.iter().map(|method| Cow::Owned(method.clone())).collect()
        }),
        redaction: Redaction::and(&settings.http.redact_query),
        trust_forwarded: settings.http.forwarded,
        baggage: settings.context.baggage.iter().map(|key| key.as_str().into()).collect(),
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layer, load};

    #[test]
    fn names_to_redact_are_added_to_the_built_in_ones() {
        let mut settings = load(None, |_| None, Layer::default()).unwrap().settings;
        settings.http.redact_query = vec!["pin".to_owned()];
        let redaction = http(&settings).redaction;
        assert!(redaction.is_secret("pin") && redaction.is_secret("sig") && redaction.is_secret("password"));
        assert!(!redaction.is_secret("page"));
    }
}
