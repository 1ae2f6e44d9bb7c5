//! Flags that several commands share, and the layer of settings they make.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::PossibleValuesParser, builder::TypedValueParser as _};

use crate::{
    config::{DestinationLayer, Layer, SignalLayer, endpoint, units::positive_duration},
    discover::{ExeGlob, PortRange, Selection},
    export::settings::{Print, Protocol},
};

/// What to trace: the union of what is given, everything when nothing is.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionFlags {
    /// A process and its children.
    #[arg(long = "pid", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pids: Vec<u32>,
    /// Processes that listen on a port, and connections to it: 8080, 8080,9090 or 3000-3999.
    #[arg(long = "port", value_name = "P", value_delimiter = ',')]
    ports: Vec<PortRange>,
    /// Programs, by file name (nginx) or by path (/opt/**/bin/*).
    #[arg(long = "exe", value_name = "GLOB")]
    exe: Vec<ExeGlob>,
    /// Every process but the agent.
    #[arg(long)]
    all: bool,
}

/// Where spans and metrics go. With none given, spans are printed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Export")]
pub struct ExportFlags {
    /// An OTLP receiver: http://collector:4318.
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    otlp: Option<String>,
    /// How to speak to it.
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol())]
    otlp_protocol: Option<Protocol>,
    /// Write OTLP/JSON lines to files in this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_name = "WHAT", value_parser = print())]
    print: Option<Print>,
}

/// Ends by itself.
#[derive(Debug, Default, Args)]
pub(super) struct DurationFlag {
    /// Stop after this long: 10s, 5m.
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    duration: Option<Duration>,
}

impl SelectionFlags {
    pub(super) fn is_given(&self) -> bool {
        self.all || !self.pids.is_empty() || !self.ports.is_empty() || !self.exe.is_empty()
    }

    pub(super) fn apply(self, layer: &mut Layer) {
        layer.select = self.is_given().then(|| Selection {
            pids: self.pids.into_iter().collect(),
            ports: self.ports,
            exe: self.exe,
            all: self.all,
        });
    }
}

impl ExportFlags {
    pub(super) fn apply(self, layer: &mut Layer) {
        if self.otlp.is_some() || self.otlp_protocol.is_some() {
            let general =
                SignalLayer { endpoint: self.otlp, protocol: self.otlp_protocol, ..SignalLayer::default() };
            layer.otlp = vec![DestinationLayer { general, ..DestinationLayer::default() }];
        }
        layer.out = self.out;
        layer.print = self.print;
    }
}

impl DurationFlag {
    pub(super) fn apply(self, layer: &mut Layer) {
        layer.duration = self.duration;
    }
}

fn protocol() -> impl clap::builder::TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(["grpc", "http/protobuf", "http/json"]).try_map(|text| text.parse())
}

fn print() -> impl clap::builder::TypedValueParser<Value = Print> {
    PossibleValuesParser::new(["spans", "json", "none"]).map(|text| match text.as_str() {
        "spans" => Print::Spans,
        "json" => Print::Json,
        _ => Print::None,
    })
}
