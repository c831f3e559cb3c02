//! Power cuts and kills at every point of a commit.

use super::*;

/// Commits until the disk has crashed at the given operation or the commits are over. Returns what
/// may be there afterwards: everything up to the last commit that succeeded, or up to the one that
/// was under way.
fn run(disk: &Disk, random: &mut Random, commits: usize) -> Vec<Model> {
    let store = open(disk);
    let mut model = Model::default();
    let mut maker = Commit::default();
    for _ in 0..commits {
        if disk.has_crashed() {
            return vec![model];
        }
        let before = model.clone();
        store.commit(&maker.random(&mut model, random)).unwrap();
        if disk.has_crashed() {
            return vec![before, model];
        }
    }
    drop(store);
    vec![model]
}

/// How many operations a run takes, to pick one of them.
fn count(seed: u64, commits: usize) -> u64 {
    let disk = Disk::new();
    run(&disk, &mut Random::new(seed), commits);
    disk.operations()
}

fn crash_everywhere(seeds: std::ops::Range<u64>, restart: impl Fn(&Disk, u64) -> Disk) {
    let mut operations = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let run_seed = seed / 16;
        let commits = 1 + run_seed as usize % 4;
        if seed % 16 == 0 {
            operations = count(run_seed, commits);
        }
        let disk = Disk::new();
        disk.crash_at(random.below(operations as usize) as u64);
        let allowed = run(&disk, &mut Random::new(run_seed), commits);

        let mut after = restart(&disk, random.next());
        if random.below(4) == 0 {
            // Once more, while it is recovering.
            after.crash_at(random.below(6) as u64);
            let _ = Store::open_on(after.clone(), CACHE);
            after = restart(&after, random.next());
        }
        let store = open(&after);
        let found = content(&store);
        assert!(allowed.contains(&found), "seed {seed}: {found:#?}");

        // It goes on from there, and what was allocated is not allocated twice.
        let mut model = found;
        let mut maker = Commit {
            next_seq: 1000,
            generation: 1000,
        };
        for _ in 0..2 {
            store
                .commit(&maker.random(&mut model, &mut random))
                .unwrap();
        }
        assert_eq!(content(&store), model, "seed {seed}");
    }
}

#[test]
fn a_power_cut_leaves_whole_commits_and_all_that_succeeded() {
    crash_everywhere(0..2000, Disk::crash);
}

#[test]
fn a_kill_leaves_whole_commits_and_all_that_succeeded() {
    crash_everywhere(0..600, |disk, _| disk.kill());
}
