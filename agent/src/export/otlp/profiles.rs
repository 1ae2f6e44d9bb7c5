//! Profiles to OTLP's protobuf messages.

use std::collections::{HashMap, hash_map::Entry};

use opentelemetry_proto::tonic::profiles::v1development::{
    Profile as ProtoProfile, ProfilesData, ResourceProfiles, Sample as ProtoSample, ScopeProfiles,
};

use super::{
    dictionary::Builder,
    traces::{resource, scope},
};
use crate::profile::named::{Point, Profile, Sample};

/// A `ProfilesData` message; on the wire it is the same as an `ExportProfilesServiceRequest`.
pub(super) fn data<'a>(profiles: impl Iterator<Item = &'a Profile>) -> ProfilesData {
    let mut builder = Builder::new();
    let mut resources: Vec<(&Profile, Vec<ProtoProfile>)> = Vec::new();
    for profile in profiles {
        let made = proto(profile, &mut builder);
        match resources.iter_mut().find(|(first, _)| first.resource == profile.resource) {
            Some((_, list)) => list.push(made),
            None => resources.push((profile, vec![made])),
        }
    }
    let resource_profiles = resources.into_iter().map(|(first, profiles)| ResourceProfiles {
        resource: Some(resource(&first.resource)),
        scope_profiles: vec![ScopeProfiles { scope: Some(scope()), profiles, schema_url: String::new() }],
        schema_url: String::new(),
    });
    ProfilesData { resource_profiles: resource_profiles.collect(), dictionary: Some(builder.finish()) }
}

fn proto(profile: &Profile, builder: &mut Builder) -> ProtoProfile {
    let kind = builder.value_type(profile.measure.name());
    ProtoProfile {
        sample_type: Some(kind),
        samples: samples(profile, builder),
        time_unix_nano: profile.start,
        duration_nano: profile.duration,
        period_type: Some(kind),
        period: i64::try_from(profile.period).unwrap_or(0),
        profile_id: profile.id.to_vec(),
        ..ProtoProfile::default()
    }
}

/// One for each identity: what differs in ways that OTLP does not show is put together.
fn samples(profile: &Profile, builder: &mut Builder) -> Vec<ProtoSample> {
    let mut known: HashMap<(i32, i32, Vec<i32>), usize> = HashMap::new();
    let mut all: Vec<ProtoSample> = Vec::with_capacity(profile.samples.len());
    for taken in &profile.samples {
        let made = sample(profile, taken, builder);
        match known.entry((made.stack_index, made.link_index, made.attribute_indices.clone())) {
            Entry::Occupied(first) => {
                let first = &mut all[*first.get()];
                first.values.extend(made.values);
                first.timestamps_unix_nano.extend(made.timestamps_unix_nano);
            }
            Entry::Vacant(place) => {
                place.insert(all.len());
                all.push(made);
            }
        }
    }
    all
}

fn sample(profile: &Profile, sample: &Sample, builder: &mut Builder) -> ProtoSample {
    let stack_index = builder.stack(&sample.stack);
    let mut attribute_indices = vec![
        builder.attribute("thread.id", &sample.thread.into()),
        builder.attribute("thread.name", &sample.thread_name.to_string().into()),
    ];
    attribute_indices.extend(builder.attributes(&sample.attributes));
    // The end is not part of a profile's time; a clock that was set may have put a sample outside.
    let last = (profile.start + profile.duration).saturating_sub(1).max(profile.start);
    let within = |point: &Point| point.time.clamp(profile.start, last);
    ProtoSample {
        stack_index,
        attribute_indices,
        link_index: sample.link.map_or(0, |link| builder.link(link)),
        values: sample.points.iter().map(|point| i64::try_from(point.value).unwrap_or(i64::MAX)).collect(),
        timestamps_unix_nano: sample.points.iter().map(within).collect(),
    }
}
