use super::*;

/// Where jobs of a handler and a type belong that are in no lane.
fn flow(handler: usize, kind: u64) -> Placement {
    Placement {
        flow: FlowKey {
            handler,
            kind,
            again: false,
        },
        lane: None,
        suspect: false,
    }
}

fn lane(handler: usize, kind: u64, lane: u64) -> Placement {
    Placement {
        lane: Some((handler, Lane::from_number(lane))),
        ..flow(handler, kind)
    }
}

fn suspect(handler: usize, kind: u64) -> Placement {
    Placement {
        suspect: true,
        ..flow(handler, kind)
    }
}

/// Begins all that may run.
fn begin(schedule: &mut Schedule<u32>) -> Vec<(u32, RunSlot)> {
    std::iter::from_fn(|| schedule.next()).collect()
}

fn jobs(begun: &[(u32, RunSlot)]) -> Vec<u32> {
    begun.iter().map(|(job, _)| *job).collect()
}

#[test]
fn jobs_of_a_lane_run_one_after_the_other_and_lanes_beside_each_other() {
    let mut schedule = Schedule::new(10, &[None]);
    for (job, id) in [(1, 7), (2, 7), (3, 8), (4, 7), (5, 8)] {
        schedule.admit(job, lane(0, 0, id));
    }
    schedule.admit(6, flow(0, 0));
    schedule.admit(7, flow(0, 0));
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
        schedule.admit(job, flow(0, 0));
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
        schedule.admit(job, flow(0, 0));
    }
    let hanging = begin(&mut schedule);
    assert_eq!(hanging.len(), 256 - 2 * 21);
    for job in 1000..1005 {
        schedule.admit(job, flow(1, 0));
    }
    assert_eq!(jobs(&begin(&mut schedule)), [1000, 1001, 1002, 1003, 1004]);
}

#[test]
fn a_handler_has_at_least_one_slot_however_few_there_are() {
    let mut schedule = Schedule::new(1, &[None, None, None]);
    schedule.admit(1, flow(2, 0));
    schedule.admit(2, flow(1, 0));
    let mut begun = begin(&mut schedule);
    assert_eq!(jobs(&begun), [1]);
    schedule.ended(begun.remove(0).1);
    assert_eq!(jobs(&begin(&mut schedule)), [2]);
}

#[test]
fn with_few_slots_and_many_handlers_one_of_them_still_gets_most() {
    let mut schedule = Schedule::new(10, &[Some(10), None, None, None, None, None, None, None]);
    for job in 0..100 {
        schedule.admit(job, flow(0, 0));
    }
    assert_eq!(begin(&mut schedule).len(), 8);
    schedule.admit(100, flow(1, 0));
    schedule.admit(101, flow(1, 0));
    schedule.admit(200, flow(2, 0));
    assert_eq!(jobs(&begin(&mut schedule)), [100, 200]);
}

#[test]
fn a_slot_that_was_assured_and_is_given_back_is_assured_again() {
    let mut schedule = Schedule::new(8, &[None, None]);
    let take_all = |schedule: &mut Schedule<u32>, handler| {
        (0..8).for_each(|job| schedule.admit(job, flow(handler, 0)));
        begin(schedule)
    };
    let first = take_all(&mut schedule, 0);
    let second = take_all(&mut schedule, 1);
    assert_eq!((first.len(), second.len()), (7, 1));
    for (_, slot) in second {
        schedule.ended(slot);
    }
    let third = begin(&mut schedule);
    assert_eq!(third[0].1.placement.flow.handler, 1);
    assert_eq!(third.len(), 1);
}

#[test]
fn a_further_attempt_does_not_stand_behind_a_flood_of_first_ones() {
    let mut schedule = Schedule::new(4, &[None]);
    for job in 0..1000 {
        schedule.admit(job, flow(0, 1));
    }
    let mut again = flow(0, 1);
    again.flow.again = true;
    schedule.admit(5000, again);
    assert_eq!(jobs(&begin(&mut schedule)), [0, 5000, 1, 2]);
}

#[test]
fn a_delayed_job_keeps_its_lane_and_no_slot() {
    let mut schedule = Schedule::new(1, &[None]);
    schedule.admit(1, lane(0, 0, 7));
    schedule.admit(2, lane(0, 0, 7));
    schedule.admit(3, lane(0, 0, 8));
    let mut begun = begin(&mut schedule);
    let parked = schedule.park(begun.remove(0).1);
    let mut begun = begin(&mut schedule);
    assert_eq!(jobs(&begun), [3]);
    schedule.ended(begun.remove(0).1);
    assert!(schedule.next().is_none());
    schedule.resume(1, parked);
    let mut begun = begin(&mut schedule);
    assert_eq!(jobs(&begun), [1]);
    schedule.ended(begun.remove(0).1);
    let mut begun = begin(&mut schedule);
    assert_eq!(jobs(&begun), [2]);
    schedule.ended(begun.remove(0).1);
    assert_eq!((schedule.running(), schedule.waiting()), (0, 0));
    assert!(schedule.lanes.is_empty());
}

#[test]
fn a_suspect_that_the_process_has_outlived_lets_the_next_one_begin() {
    let mut schedule = Schedule::new(10, &[None]);
    schedule.admit(1, suspect(0, 0));
    schedule.admit(2, suspect(0, 0));
    let mut hanging = begin(&mut schedule);
    assert_eq!(jobs(&hanging), [1]);
    let first = hanging[0].1.quarantine().unwrap();
    schedule.end_quarantine(first);
    assert_eq!(jobs(&begin(&mut schedule)), [2]);
    schedule.admit(3, suspect(0, 0));
    // What was said of the first says nothing of the second.
    schedule.end_quarantine(first);
    schedule.ended(hanging.remove(0).1);
    assert!(schedule.next().is_none());
}

#[test]
fn a_handlers_own_limit_holds() {
    let mut schedule = Schedule::new(100, &[Some(2), None]);
    for job in 0..5 {
        schedule.admit(job, flow(0, 0));
        schedule.admit(10 + job, flow(1, 0));
    }
    let begun = begin(&mut schedule);
    assert_eq!(jobs(&begun).iter().filter(|job| **job < 10).count(), 2);
    assert_eq!(begun.len(), 7);
}

#[test]
fn flows_take_turns_so_that_a_flood_of_one_type_does_not_hold_up_another() {
    let mut schedule = Schedule::new(4, &[None]);
    for job in 0..1000 {
        schedule.admit(job, flow(0, 1));
    }
    schedule.admit(5000, flow(0, 2));
    schedule.admit(6000, flow(0, 3));
    assert_eq!(jobs(&begin(&mut schedule)), [0, 5000, 6000, 1]);
}

#[test]
fn a_busy_lane_does_not_hold_up_another() {
    let mut schedule = Schedule::new(2, &[None]);
    for job in 0..1000 {
        schedule.admit(job, lane(0, 1, 1));
    }
    schedule.admit(5000, lane(0, 1, 2));
    assert_eq!(jobs(&begin(&mut schedule)), [0, 5000]);
}

#[test]
fn one_suspect_runs_at_a_time_and_holds_up_nobody_else() {
    let mut schedule = Schedule::new(10, &[None]);
    for job in 0..3 {
        schedule.admit(job, suspect(0, 0));
    }
    schedule.admit(3, flow(0, 0));
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
    schedule.admit(0, flow(0, 0));
    schedule.admit(1, suspect(1, 0));
    let _running = begin(&mut schedule);
    schedule.admit(2, flow(0, 0));
    for job in 3..7 {
        schedule.admit(job, suspect(1, 0));
    }
    schedule.admit(7, flow(1, 0));
    assert_eq!(jobs(&begin(&mut schedule)), [7]);
}

#[test]
fn a_million_lanes_leave_nothing_behind() {
    let mut schedule = Schedule::new(64, &[None]);
    let mut begun = VecDeque::new();
    for job in 0..1_000_000_u32 {
        schedule.admit(job, lane(0, u64::from(job % 90), u64::from(job)));
        while let Some((_, slot)) = schedule.next() {
            begun.push_back(slot);
        }
        if begun.len() == 64 {
            begun.drain(..).for_each(|slot| schedule.ended(slot));
        }
    }
    begun.drain(..).for_each(|slot| schedule.ended(slot));
    assert_eq!((schedule.running(), schedule.waiting()), (0, 0));
    assert!(schedule.lanes.is_empty() && schedule.lanes.capacity() <= 4096);
    assert!(schedule.flows.is_empty() && schedule.ready_flows.is_empty());
}
