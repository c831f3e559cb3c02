use super::*;

fn flow(handler: usize, kind: u64) -> Flow {
    Flow { handler, kind }
}

/// Begins all that may run.
fn begin(schedule: &mut Schedule<u32>) -> Vec<(u32, Ticket)> {
    std::iter::from_fn(|| schedule.next()).collect()
}

fn jobs(begun: &[(u32, Ticket)]) -> Vec<u32> {
    begun.iter().map(|(job, _)| *job).collect()
}

#[test]
fn jobs_of_a_lane_run_one_after_the_other_and_lanes_beside_each_other() {
    let mut schedule = Schedule::new(10, &[None]);
    for (job, lane) in [(1, 7), (2, 7), (3, 8), (4, 7), (5, 8)] {
        schedule.admit(job, flow(0, 0), Some(lane), false);
    }
    schedule.admit(6, flow(0, 0), None, false);
    schedule.admit(7, flow(0, 0), None, false);
    let mut begun = begin(&mut schedule);
    assert_eq!(jobs(&begun), [1, 3, 6, 7]);
    assert!(schedule.next().is_none());
    schedule.ended(begun.remove(0).1);
    let mut next = begin(&mut schedule);
    assert_eq!(jobs(&next), [2]);
    schedule.ended(next.remove(0).1);
    assert_eq!(jobs(&begin(&mut schedule)), [4]);
}

#[test]
fn no_more_run_than_there_are_slots() {
    let mut schedule = Schedule::new(3, &[None]);
    for job in 0..10 {
        schedule.admit(job, flow(0, 0), None, false);
    }
    let mut begun = begin(&mut schedule);
    assert_eq!(
        (begun.len(), schedule.free(), schedule.waiting()),
        (3, 0, 7)
    );
    schedule.ended(begun.remove(0).1);
    assert_eq!(jobs(&begin(&mut schedule)), [3]);
}

#[test]
fn a_handler_that_takes_all_it_can_get_leaves_room_for_the_others() {
    let mut schedule = Schedule::new(256, &[None, None, None]);
    for job in 0..1000 {
        schedule.admit(job, flow(0, 0), None, false);
    }
    let hanging = begin(&mut schedule);
    assert_eq!(hanging.len(), 256 - 2 * 21);
    for job in 1000..1005 {
        schedule.admit(job, flow(1, 0), None, false);
    }
    assert_eq!(jobs(&begin(&mut schedule)), [1000, 1001, 1002, 1003, 1004]);
}

#[test]
fn a_handler_has_at_least_one_slot_however_few_there_are() {
    let mut schedule = Schedule::new(1, &[None, None, None]);
    schedule.admit(1, flow(2, 0), None, false);
    schedule.admit(2, flow(1, 0), None, false);
    let mut begun = begin(&mut schedule);
    assert_eq!(jobs(&begun), [1]);
    schedule.ended(begun.remove(0).1);
    assert_eq!(jobs(&begin(&mut schedule)), [2]);
}

#[test]
fn a_handlers_own_limit_holds() {
    let mut schedule = Schedule::new(100, &[Some(2), None]);
    for job in 0..5 {
        schedule.admit(job, flow(0, 0), None, false);
        schedule.admit(10 + job, flow(1, 0), None, false);
    }
    let begun = begin(&mut schedule);
    assert_eq!(jobs(&begun).iter().filter(|job| **job < 10).count(), 2);
    assert_eq!(begun.len(), 7);
}

#[test]
fn flows_take_turns_so_that_a_flood_of_one_type_does_not_hold_up_another() {
    let mut schedule = Schedule::new(4, &[None]);
    for job in 0..1000 {
        schedule.admit(job, flow(0, 1), None, false);
    }
    schedule.admit(5000, flow(0, 2), None, false);
    schedule.admit(6000, flow(0, 3), None, false);
    assert_eq!(jobs(&begin(&mut schedule)), [0, 5000, 6000, 1]);
}

#[test]
fn a_busy_lane_does_not_hold_up_another() {
    let mut schedule = Schedule::new(2, &[None]);
    for job in 0..1000 {
        schedule.admit(job, flow(0, 1), Some(1), false);
    }
    schedule.admit(5000, flow(0, 1), Some(2), false);
    assert_eq!(jobs(&begin(&mut schedule)), [0, 5000]);
}

#[test]
fn one_suspect_runs_at_a_time_and_holds_up_nobody_else() {
    let mut schedule = Schedule::new(10, &[None]);
    for job in 0..3 {
        schedule.admit(job, flow(0, 0), None, true);
    }
    schedule.admit(3, flow(0, 0), None, false);
    let mut begun = begin(&mut schedule);
    assert_eq!(jobs(&begun), [0, 3]);
    schedule.ended(begun.remove(1).1);
    assert!(schedule.next().is_none());
    schedule.ended(begun.remove(0).1);
    assert_eq!(jobs(&begin(&mut schedule)), [1]);
}

#[test]
fn suspects_and_a_handler_at_its_limit_hold_up_nobody_together() {
    let mut schedule = Schedule::new(10, &[Some(1), None]);
    schedule.admit(0, flow(0, 0), None, false);
    schedule.admit(1, flow(1, 0), None, true);
    let _running = begin(&mut schedule);
    schedule.admit(2, flow(0, 0), None, false);
    for job in 3..7 {
        schedule.admit(job, flow(1, 0), None, true);
    }
    schedule.admit(7, flow(1, 0), None, false);
    assert_eq!(jobs(&begin(&mut schedule)), [7]);
}

#[test]
fn a_million_lanes_leave_nothing_behind() {
    let mut schedule = Schedule::new(64, &[None]);
    let mut begun = VecDeque::new();
    for job in 0..1_000_000_u32 {
        schedule.admit(
            job,
            flow(0, u64::from(job % 90)),
            Some(u64::from(job)),
            false,
        );
        while let Some((_, ticket)) = schedule.next() {
            begun.push_back(ticket);
        }
        if begun.len() == 64 {
            begun.drain(..).for_each(|ticket| schedule.ended(ticket));
        }
    }
    begun.drain(..).for_each(|ticket| schedule.ended(ticket));
    assert_eq!((schedule.running(), schedule.waiting()), (0, 0));
    assert!(schedule.lanes.is_empty() && schedule.lanes.capacity() <= 4096);
    assert!(schedule.flows.is_empty() && schedule.turns.is_empty());
}
