use honeyguide::load::*;
use honeyguide_common::record::*;
use zerocopy::FromBytes;
fn main() {
    let mut k = Kernel::load(&LoadSettings {
        hook: if std::env::args().nth(1).as_deref() == Some("fexit") {
            HookChoice::Only(Hook::FunctionExit)
        } else {
            HookChoice::Only(Hook::Tracepoint)
        },
        select_all: true,
        select_ports: false,
        capture_bytes: 8192,
        ring_bytes: 8 << 20,
        kernel_log: log::LevelFilter::Off,
    })
    .unwrap();
    println!("hook {} missing {:?}", k.hook, k.missing);
    let mut r = k.take_ring().unwrap();
    let c = k.take_control().unwrap();
    let t = std::time::Instant::now();
    while t.elapsed().as_secs() < 6 {
        r.drain(10000, |b| {
            let (h, _) = Header::ref_from_prefix(b).unwrap();
            match h.kind {
                KIND_DATA => {
                    let (d, p) = Data::ref_from_prefix(b).unwrap();
                    println!(
                        "{} {} dir {} off {} len {} cap {} org {} fl {} tail {:?} {:?}",
                        d.pid,
                        d.socket,
                        d.direction,
                        d.offset,
                        d.length,
                        d.header.captured,
                        d.origin,
                        d.header.flags,
                        &d.tail[..d.tail_length as usize],
                        String::from_utf8_lossy(&p[..(d.header.captured as usize).min(60)])
                    )
                }
                KIND_CONNECTION => {
                    let (d, _) = Connection::ref_from_prefix(b).unwrap();
                    println!(
                        "CONN {} {} fam {} {} -> {} flags {} seq {} {} ns {} path {:?} {:x} {:x}",
                        d.pid,
                        d.socket,
                        d.family,
                        d.local_port,
                        d.remote_port,
                        d.header.flags,
                        d.send_sequence,
                        d.receive_sequence,
                        d.netns,
                        String::from_utf8_lossy(&d.path[..d.path_length as usize]),
                        d.unix_self,
                        d.unix_peer
                    )
                }
                KIND_STATE => {
                    let (d, _) = State::ref_from_prefix(b).unwrap();
                    println!("STATE {} {}->{} err {}", d.socket, d.from, d.to, d.error)
                }
                _ => {
                    let (d, _) = Process::ref_from_prefix(b).unwrap();
                    println!(
                        "PROC kind {} {} parent {} {}",
                        h.kind,
                        d.pid,
                        d.parent,
                        String::from_utf8_lossy(&d.comm)
                    )
                }
            }
        });
        r.wait(std::time::Duration::from_millis(5));
    }
    println!("{:?} {:?}", c.failures(), r.high_water());
}
