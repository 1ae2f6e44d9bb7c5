// What a release build makes of closures, iterators, formatting and a panic that is caught.
use std::{collections::HashMap, hint::black_box, io::Write, panic};

#[inline(never)]
fn hashed(rounds: u64) -> usize {
    let mut map = HashMap::new();
    for i in 0..rounds {
        map.entry(i % 257).or_insert_with(|| format!("{i:>8}")).push('x');
    }
    map.values().map(String::len).sum()
}

#[inline(never)]
fn sorted(rounds: u64) -> u64 {
    let mut numbers: Vec<u64> = (0..rounds).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    numbers.sort_by(|a, b| b.cmp(a));
    numbers[numbers.len() / 2]
}

#[inline(never)]
fn panicking(depth: u32) -> u32 {
    if depth == 0 {
        panic!("enough");
    }
    black_box(panicking(depth - 1)) + depth
}

fn main() {
    panic::set_hook(Box::new(|_| ()));
    println!("ready");
    std::io::stdout().flush().unwrap();
    let workers: Vec<_> = (0..2)
        .map(|number| {
            std::thread::spawn(move || loop {
                black_box(hashed(5_000));
                if number == 0 {
                    black_box(sorted(20_000));
                }
                let _ = panic::catch_unwind(|| panicking(10));
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}
