fn main(){
    let l = honeyguide::config::load(std::env::args().nth(1).as_deref().map(std::path::Path::new), |k| std::env::var(k).ok(), Default::default()).unwrap();
    let r = honeyguide::pipeline::run(&l.settings);
    if let Err(e) = r { eprintln!("{e:#}"); }
}
