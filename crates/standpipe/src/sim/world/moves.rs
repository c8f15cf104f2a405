//! The steps of a hand: take, work, write, wait, give back, end.

use std::mem;

use super::{ITEMS_PER_TURN, Reason, Trial};
use crate::critical::Doing;
use crate::gate::Turn;
use crate::sim::hand::{Output, Step};
use crate::sim::store::{Item, Store, Tank, Written};
use crate::sim::{Burden, Fate, Publish, Shape, Spread};
use crate::snapshot::{BusyAs, StageState, Tally};

/// Whether a hand can go on, or waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    Waits,
}

impl Trial {
    /// A hand does what it can, until it waits or works.
    pub(super) fn go(&mut self, hand: usize) {
        let mut taken: usize = 0;
        loop {
            let Some(step) = self.hands.get(hand).map(|hand| hand.step) else { return };
            let then = match step {
                Step::Take => {
                    taken = taken.saturating_add(1);
                    if self.task.is_some() && taken > ITEMS_PER_TURN {
                        self.at(self.now_ns, hand, Reason::Own); // lets others run
                        return;
                    }
                    self.take(hand)
                }
                Step::Work => self.work(hand),
                Step::Worked => self.worked(hand),
                Step::Emit => self.emit(hand),
                Step::Drain => self.drained(hand),
                Step::Return => self.let_go(hand),
                Step::Flush => match self.flush(hand) {
                    Then::GoesOn => self.set(hand, Step::Take),
                    Then::Waits => Then::Waits,
                },
                Step::Finish => match self.flush(hand) {
                    Then::GoesOn => self.end(hand),
                    Then::Waits => Then::Waits,
                },
                Step::Over | Step::Stuck => Then::Waits,
            };
            if then == Then::Waits {
                return;
            }
        }
    }

    fn set(&mut self, hand: usize, step: Step) -> Then {
        if let Some(hand) = self.hands.get_mut(hand) {
            hand.step = step;
        }
        Then::GoesOn
    }

    /// Begins a wait.
    fn park(&mut self, hand: usize, state: StageState) -> Then {
        let now_ns = self.now_ns;
        if let Some(hand) = self.hands.get_mut(hand) {
            hand.trail.settle(now_ns);
            hand.meter.enter(state, now_ns);
        }
        Then::Waits
    }

    fn park_for_drain(&mut self, hand: usize, tank: usize) -> Then {
        if let Some(store) = self.stores.get_mut(tank) {
            if store.opens_or_waits(tank) {
                return Then::GoesOn;
            }
            store.writers.push(hand);
        }
        self.park(hand, StageState::Paused)
    }

    // ---- taking ----------------------------------------------------------------

    fn take(&mut self, index: usize) -> Then {
        let Some(stage) = self.hands.get(index).map(|hand| hand.stage) else { return Then::Waits };
        let Some(crew) = self.crews.get_mut(stage) else { return Then::Waits };
        let stopped = |output: &Output| self.stores.get(output.tank).is_some_and(|s| s.stopped);
        if !crew.outputs.is_empty() && crew.outputs.iter().all(stopped) {
            return self.set(index, Step::Finish);
        }
        if crew.inputs.is_empty() {
            if crew.to_come == 0 {
                return self.set(index, Step::Finish);
            }
            crew.to_come = crew.to_come.saturating_sub(1);
            let weight = crew.plan.weights.next(&mut crew.weights);
            return self.took(index, stage, Item { weight, written_ns: self.now_ns });
        }
        let taken = match crew.plan.shape {
            Shape::Merge => self.take_any(index, stage),
            Shape::Zip => self.take_each(index, stage),
        };
        match taken {
            Ok(item) => self.took(index, stage, item),
            Err(then) => then,
        }
    }

    /// One item, from whichever input has one.
    fn take_any(&mut self, index: usize, stage: usize) -> Result<Item, Then> {
        let (count, first) =
            self.crews.get(stage).map_or((0, 0), |crew| (crew.inputs.len(), crew.first));
        for step in 0..count {
            let input = first.saturating_add(step).checked_rem(count).unwrap_or(0);
            if let Some(item) = self.take_from(index, stage, input) {
                if let Some(crew) = self.crews.get_mut(stage) {
                    crew.first = input.saturating_add(1);
                }
                return Ok(item);
            }
        }
        self.nothing_there(index, stage, 0..count)
    }

    /// One item of each input; what it has of them it keeps while it waits.
    fn take_each(&mut self, index: usize, stage: usize) -> Result<Item, Then> {
        let count = self.crews.get(stage).map_or(0, |crew| crew.inputs.len());
        loop {
            let input = self.hands.get(index).map_or(count, |hand| hand.parts.len());
            if input >= count {
                break;
            }
            if self.take_from(index, stage, input).is_none() {
                return self.nothing_there(index, stage, input..input.saturating_add(1));
            }
        }
        let weight = self.hands.get(index).map_or(0, |hand| {
            hand.parts.iter().fold(0, |sum: usize, (_, item)| sum.saturating_add(item.weight))
        });
        Ok(Item { weight, written_ns: self.now_ns })
    }

    /// An item from one input, into the hand.
    fn take_from(&mut self, index: usize, stage: usize, input: usize) -> Option<Item> {
        if self.crews.get(stage)?.inputs.get(input)?.batch.is_empty() {
            self.give_back(index, stage, input);
            let place = self.crews.get_mut(stage)?.inputs.get_mut(input)?;
            place.due = self.stores.get_mut(place.tank)?.take(&mut place.batch)?;
            place.fresh = true;
        }
        let item = self.crews.get_mut(stage)?.inputs.get_mut(input)?.batch.pop_front()?;
        self.hands.get_mut(index)?.parts.push((input, item));
        self.wake_a_colleague(stage, input);
        Some(item)
    }

    /// What is left in a batch is for another worker of the stage.
    fn wake_a_colleague(&mut self, stage: usize, input: usize) {
        let Some(place) = self.crews.get(stage).and_then(|crew| crew.inputs.get(input)) else {
            return;
        };
        if !place.batch.is_empty() {
            self.wake_reader(place.tank);
        }
    }

    /// These inputs have nothing: waits for them, or ends with them.
    fn nothing_there(
        &mut self,
        index: usize,
        stage: usize,
        inputs: std::ops::Range<usize>,
    ) -> Result<Item, Then> {
        let Some(crew) = self.crews.get(stage) else { return Err(Then::Waits) };
        let tanks: Vec<usize> = crew
            .inputs
            .get(inputs)
            .unwrap_or_default()
            .iter()
            .map(|input| input.tank)
            .filter(|tank| self.stores.get(*tank).is_some_and(|store| !store.ended))
            .collect();
        if tanks.is_empty() {
            return Err(self.set(index, Step::Finish));
        }
        if crew.has_gathered() {
            return Err(self.set(index, Step::Flush));
        }
        for input in 0..crew.inputs.len() {
            self.give_back(index, stage, input);
        }
        for tank in tanks {
            if let Some(store) = self.stores.get_mut(tank) {
                store.readers.push(index);
            }
        }
        Err(self.park(index, StageState::Starved))
    }

    /// Holds an item now.
    fn took(&mut self, index: usize, stage: usize, item: Item) -> Then {
        let (Some(hand), Some(crew)) = (self.hands.get_mut(index), self.crews.get_mut(stage))
        else {
            return Then::Waits;
        };
        hand.item = item;
        hand.ticket = crew.tickets;
        crew.tickets = crew.tickets.saturating_add(1);
        if !hand.parts.is_empty() {
            hand.meter.took(tally(item.weight));
        }
        hand.step = Step::Work;
        Then::GoesOn
    }

    // ---- working ---------------------------------------------------------------

    fn work(&mut self, index: usize) -> Then {
        let now_ns = self.now_ns;
        let Some(hand) = self.hands.get_mut(index) else { return Then::Waits };
        let Some(crew) = self.crews.get_mut(hand.stage) else { return Then::Waits };
        match crew.plan.fate {
            Some((item, Fate::End)) if hand.ticket >= item => {
                crew.to_come = 0;
                hand.step = Step::Finish;
                return Then::GoesOn;
            }
            Some((item, Fate::Fail)) if hand.ticket == item => {
                self.failed = Some(hand.stage);
                hand.step = Step::Stuck;
                return Then::Waits;
            }
            Some((item, Fate::Stall)) if hand.ticket == item => {
                hand.step = Step::Stuck;
                hand.meter.busy_as(BusyAs::OwnWait, now_ns);
                return Then::Waits;
            }
            _ => {}
        }
        let fresh = crew.inputs.iter_mut().any(|input| mem::take(&mut input.fresh));
        let more_ns = if fresh { crew.plan.batch_ns } else { 0 };
        let weight_ns = crew.plan.weight_ns.saturating_mul(hand.item.weight as u64);
        hand.service_ns =
            crew.services.next(now_ns).saturating_add(more_ns).saturating_add(weight_ns);
        hand.measured = false;
        hand.step = Step::Worked;
        if crew.plan.burden == Burden::Waits {
            hand.meter.busy_as(BusyAs::OwnWait, now_ns);
        } else {
            hand.meter.poll_took(hand.service_ns);
        }
        let ends_ns = now_ns.saturating_add(hand.service_ns);
        if self.task.is_some() && crew.plan.burden == Burden::Computes {
            self.now_ns = ends_ns;
            return Then::GoesOn;
        }
        self.at(ends_ns, index, Reason::Own);
        Then::Waits
    }

    fn worked(&mut self, index: usize) -> Then {
        let now_ns = self.now_ns;
        let Some(hand) = self.hands.get_mut(index) else { return Then::Waits };
        let Some(crew) = self.crews.get_mut(hand.stage) else { return Then::Waits };
        let service_ns = mem::take(&mut hand.service_ns); // told once
        if crew.plan.burden == Burden::Waits {
            hand.meter.own_wait(service_ns);
        }
        if !mem::replace(&mut hand.measured, true) {
            hand.meter.done_with(tally(hand.item.weight), now_ns);
        }
        if crew.orderly && hand.ticket != crew.turn {
            crew.in_line.push((hand.ticket, index));
            return self.park(index, StageState::Paused);
        }
        hand.at = 0;
        hand.only = match crew.plan.spread {
            Spread::Partition if crew.outputs.len() > 1 => {
                Some(crew.targets.below(crew.outputs.len()))
            }
            _ => None,
        };
        let kept = hand.ticket.saturating_add(1).checked_rem(crew.plan.keeps).unwrap_or(0);
        hand.meter.keeps(kept);
        hand.step = if kept > 0 { Step::Drain } else { Step::Emit };
        Then::GoesOn
    }

    // ---- writing ---------------------------------------------------------------

    /// Puts the item where it goes, one output after the other.
    fn emit(&mut self, index: usize) -> Then {
        loop {
            let Some(hand) = self.hands.get_mut(index) else { return Then::Waits };
            let Some(crew) = self.crews.get_mut(hand.stage) else { return Then::Waits };
            let at = hand.at;
            let Some(output) = crew.outputs.get_mut(at) else { break };
            if !hand.goes_to(at) {
                hand.at = at.saturating_add(1);
                continue;
            }
            let tank = output.tank;
            if crew.publish == Publish::Gathered {
                output.gathered.push_back(hand.item);
                output.weight = output.weight.saturating_add(hand.item.weight);
                hand.at = at.saturating_add(1);
                hand.meter.gave(tally(hand.item.weight));
                continue;
            }
            let Some(store) = self.stores.get_mut(tank) else { break };
            match store.write(hand.item, self.now_ns) {
                Written::Waits => return self.park_for_drain(index, tank),
                Written::Breaks => {
                    self.failed = Some(hand.stage);
                    return Then::Waits;
                }
                Written::Gone => {
                    hand.at = at.saturating_add(1);
                    hand.meter.gave(tally(hand.item.weight));
                    self.wake_reader_by(tank, index);
                    self.call_by(tank, index);
                }
            }
        }
        if let Some(hand) = self.hands.get_mut(index) {
            hand.at = 0;
        }
        self.set(index, Step::Drain)
    }

    /// Begins no new work in front of a shut tank.
    fn drained(&mut self, index: usize) -> Then {
        loop {
            let Some(hand) = self.hands.get_mut(index) else { return Then::Waits };
            let Some(crew) = self.crews.get_mut(hand.stage) else { return Then::Waits };
            let at = hand.at;
            let Some(output) = crew.outputs.get(at) else { break };
            let tank = output.tank;
            if crew.publish == Publish::Gathered {
                let due = output.weight >= output.allowance;
                if due && self.publish(index, at) == Then::Waits {
                    return Then::Waits;
                }
            } else if hand.goes_to(at) && self.stores.get(tank).is_some_and(Store::makes_wait) {
                return self.park_for_drain(index, tank);
            }
            if let Some(hand) = self.hands.get_mut(index) {
                hand.at = at.saturating_add(1);
            }
        }
        self.set(index, Step::Return)
    }

    /// Makes what is gathered visible, then waits for an open tank.
    fn publish(&mut self, index: usize, at: usize) -> Then {
        let now_ns = self.now_ns;
        let Some(hand) = self.hands.get(index) else { return Then::Waits };
        let Some(output) = self.crews.get_mut(hand.stage).and_then(|crew| crew.outputs.get_mut(at))
        else {
            return Then::Waits;
        };
        let tank = output.tank;
        let Some(store) = self.stores.get_mut(tank) else { return Then::Waits };
        let mut wrote = false;
        while let Some(item) = output.gathered.front() {
            match store.write(*item, now_ns) {
                Written::Waits => break,
                Written::Breaks => {
                    self.failed = Some(hand.stage);
                    return Then::Waits;
                }
                Written::Gone => {
                    output.weight = output.weight.saturating_sub(item.weight);
                    output.gathered.pop_front();
                    wrote = true;
                }
            }
        }
        let waits = store.makes_wait();
        let room = store.gate.room();
        output.allowance = if self.task.is_some() { room } else { room.min(store.gate.span()) };
        if wrote {
            self.wake_reader_by(tank, index);
            self.call_by(tank, index);
        }
        if !waits {
            return Then::GoesOn;
        }
        match self.park_for_drain(index, tank) {
            Then::GoesOn => self.publish(index, at), // a budget has room by now
            Then::Waits => Then::Waits,
        }
    }

    fn flush(&mut self, index: usize) -> Then {
        let stage = self.hands.get(index).map_or(0, |hand| hand.stage);
        let count = self.crews.get(stage).map_or(0, |crew| crew.outputs.len());
        for at in 0..count {
            let gathered = self
                .crews
                .get(stage)
                .and_then(|crew| crew.outputs.get(at))
                .is_some_and(|output| !output.gathered.is_empty());
            if gathered && self.publish(index, at) == Then::Waits {
                return Then::Waits;
            }
        }
        Then::GoesOn
    }

    // ---- giving back -----------------------------------------------------------

    /// The item leaves the stage's hands.
    fn let_go(&mut self, index: usize) -> Then {
        let now_ns = self.now_ns;
        let Some(hand) = self.hands.get_mut(index) else { return Then::Waits };
        let stage = hand.stage;
        let mut parts = mem::take(&mut hand.parts);
        for (input, item) in parts.drain(..) {
            self.earn(stage, input, item);
            if self.is_due(stage, input) {
                self.give_back(index, stage, input);
            }
        }
        let Some(hand) = self.hands.get_mut(index) else { return Then::Waits };
        hand.parts = parts; // keeps its room
        hand.step = Step::Take;
        let Some(crew) = self.crews.get_mut(stage) else { return Then::Waits };
        if crew.outputs.is_empty() {
            self.last_sink = Some(index);
            if now_ns >= self.log.next_ns() {
                self.log.note(hand.trail.look(now_ns, Doing::Works));
            }
        }
        if crew.orderly {
            crew.turn = crew.turn.saturating_add(1);
            let turn = crew.turn;
            if let Some(place) = crew.in_line.iter().position(|(ticket, _)| *ticket == turn) {
                let (_, next) = crew.in_line.swap_remove(place);
                hand.trail.settle(now_ns);
                crew.order_path.become_copy_of(hand.trail.path());
                self.at(now_ns, next, Reason::Order);
            }
        }
        Then::GoesOn
    }

    fn earn(&mut self, stage: usize, input: usize, item: Item) {
        let Some(place) = self.crews.get_mut(stage).and_then(|crew| crew.inputs.get_mut(input))
        else {
            return;
        };
        place.earned.add(item);
    }

    /// Whether keeping credit any longer could keep the tank shut.
    fn is_due(&self, stage: usize, input: usize) -> bool {
        self.crews
            .get(stage)
            .and_then(|crew| crew.inputs.get(input))
            .is_some_and(|place| place.earned.weight >= place.due || place.batch.is_empty())
    }

    /// Returns credit in bulk. If that opens the tank, whoever waits goes on.
    fn give_back(&mut self, index: usize, stage: usize, input: usize) {
        let now_ns = self.now_ns;
        let Some(place) = self.crews.get_mut(stage).and_then(|crew| crew.inputs.get_mut(input))
        else {
            return;
        };
        let earned = mem::take(&mut place.earned);
        let tank = place.tank;
        let Some(store) = self.stores.get_mut(tank) else { return };
        if earned.items == 0 {
            return;
        }
        let turn = store.credit(earned, now_ns);
        place.due = store.gate.until_open();
        if turn == Turn::Opened && !store.writers.is_empty() {
            store.meter.drained();
            self.wake_writers_by(tank, index);
        }
        self.call_by(tank, index);
    }

    /// What left this tank came back to a budget: whoever waited for that goes
    /// on from the path of the one who returned it.
    fn call_by(&mut self, tank: usize, by: usize) {
        let called = self.stores.get_mut(tank).map(|store| mem::take(&mut store.called));
        for Tank(waits) in called.into_iter().flatten() {
            self.wake_writers_by(waits, by);
        }
    }

    // ---- waking ----------------------------------------------------------------

    /// A write that somebody waited for.
    fn wake_reader_by(&mut self, tank: usize, by: usize) {
        let (Some(store), Some(hand)) = (self.stores.get_mut(tank), self.hands.get_mut(by)) else {
            return;
        };
        if store.readers.is_empty() {
            return;
        }
        hand.trail.settle(self.now_ns);
        store.item_path.become_copy_of(hand.trail.path());
        self.wake_reader(tank);
    }

    fn wake_reader(&mut self, tank: usize) {
        let Some(store) = self.stores.get_mut(tank) else { return };
        if store.readers.is_empty() {
            return;
        }
        let reader = store.readers.remove(0);
        store.meter.woke_reader();
        // it may wait at several tanks
        let stage = self.hands.get(reader).map_or(0, |hand| hand.stage);
        for input in self.crews.get(stage).map(|crew| &crew.inputs).into_iter().flatten() {
            if let Some(store) = self.stores.get_mut(input.tank) {
                store.readers.retain(|other| *other != reader);
            }
        }
        self.at(self.now_ns.saturating_add(self.wake_ns), reader, Reason::Item(tank));
    }

    /// A drain that somebody waited for.
    fn wake_writers_by(&mut self, tank: usize, by: usize) {
        let (Some(store), Some(hand)) = (self.stores.get_mut(tank), self.hands.get_mut(by)) else {
            return;
        };
        if store.writers.is_empty() {
            return;
        }
        hand.trail.settle(self.now_ns);
        store.drain_path.become_copy_of(hand.trail.path());
        for writer in mem::take(&mut store.writers) {
            if let Some(store) = self.stores.get_mut(tank) {
                store.meter.woke_writer();
            }
            self.at(self.now_ns.saturating_add(self.wake_ns), writer, Reason::Drain(tank));
        }
    }

    // ---- ending ----------------------------------------------------------------

    /// A hand is over; with the last one its stage.
    fn end(&mut self, index: usize) -> Then {
        let now_ns = self.now_ns;
        let Some(hand) = self.hands.get_mut(index) else { return Then::Waits };
        hand.trail.settle(now_ns);
        hand.meter.enter(StageState::Done, now_ns);
        hand.step = Step::Over;
        let stage = hand.stage;
        let Some(crew) = self.crews.get_mut(stage) else { return Then::Waits };
        crew.hands_left = crew.hands_left.saturating_sub(1);
        if crew.hands_left > 0 {
            return Then::Waits;
        }
        if crew.outputs.is_empty() {
            self.sinks_left = self.sinks_left.saturating_sub(1);
            self.last_sink = Some(index);
        }
        let below: Vec<usize> = crew.outputs.iter().map(|output| output.tank).collect();
        let above: Vec<usize> = crew.inputs.iter().map(|input| input.tank).collect();
        for (at, input) in crew.inputs.iter_mut().enumerate() {
            let Some(store) = self.stores.get_mut(input.tank) else { continue };
            let mut lost = Tally::default();
            let held = hand.parts.iter().filter(|(part, _)| *part == at).map(|(_, item)| *item);
            for item in input.batch.drain(..).chain(store.queue.drain(..)).chain(held) {
                lost.add(item.weight);
            }
            let dropped = store.meter.drops();
            dropped.unread = dropped.unread.plus(lost);
        }
        for tank in below {
            if let Some(store) = self.stores.get_mut(tank) {
                store.ended = true;
            }
            while self.stores.get(tank).is_some_and(|store| !store.readers.is_empty()) {
                self.wake_reader_by(tank, index);
            }
        }
        for tank in above {
            if let Some(store) = self.stores.get_mut(tank) {
                store.stop();
            }
            self.wake_writers_by(tank, index);
            self.call_by(tank, index);
        }
        Then::Waits
    }
}

fn tally(weight: usize) -> Tally {
    let mut tally = Tally::default();
    tally.add(weight);
    tally
}
