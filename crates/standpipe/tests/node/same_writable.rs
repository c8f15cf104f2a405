//! Node's rules of writable streams that the Node mode shares.

use super::check;

#[test]
fn r01_a_write_is_answered_by_the_level_after_adding() {
    check(
        "writable",
        "sink 10 delays=[9]",
        "write 9; write 1",
        "
         start w0
         write=true w9 0io(write:9)
         write=false w10!
         0io w1! 0io(done write:1)
         0io w0 0io(done) 0w(drain)
         final open ok*2 in=2",
    );
}

#[test]
fn r01_an_empty_tank_is_shut_by_one_write_at_the_mark() {
    check(
        "writable",
        "sink 10 delays=[9]",
        "write 10",
        "
         start w0
         write=false w10! 0io(write:10)
         0io w0 0io(done) 0w(drain)
         final open ok*1 in=1",
    );
}

#[test]
fn r02_the_level_counts_what_is_in_flight() {
    check(
        "writable",
        "sink 10 delays=[1]",
        "write 4; write 3; idle",
        "
         start w0
         write=true w4 0io(write:4)
         write=true w7
         0io w3 0io(done write:3)
         0io w0 0io(done)
         idle w0
         final open ok*2 in=2",
    );
}

#[test]
fn r03_a_drain_comes_at_level_0_and_only_if_owed() {
    check(
        "writable",
        "sink 10",
        "write 8; write 8; write 1; idle; write 2; idle",
        "
         start w0
         write=true w8 0io(write:8)
         write=false w16!
         write=false w17!
         0io w9! 0io(done write:8)
         0io w1! 0io(done write:1)
         0io w0 0io(done) 0w(drain)
         idle w0
         write=true w2 0io(write:2)
         0io w0 0io(done)
         idle w0
         final open ok*4 in=4",
    );
}

#[test]
fn r04_a_drain_stays_owed_whatever_later_writes_answer() {
    check(
        "writable",
        "sink 10",
        "write 10; write 1; tick 1; write 1; idle",
        "
         start w0
         write=false w10! 0io(write:10)
         write=false w11!
         0io w1! 0io(done write:1)
         tick w1!
         write=true w2!
         0io w1! 0io(done write:1)
         0io w0 0io(done) 0w(drain)
         idle w0
         final open ok*3 in=3",
    );
}

#[test]
fn r08_operations_come_one_at_a_time_and_in_order() {
    check(
        "writable",
        "sink 100",
        "write 1; write 2; write 3; idle",
        "
         start w0
         write=true w1 0io(write:1)
         write=true w3
         write=true w6
         0io w5 0io(done write:2)
         0io w3 0io(done write:3)
         0io w0 0io(done)
         idle w0
         final open ok*3 in=3",
    );
}

#[test]
fn r09_a_batch_takes_the_whole_backlog() {
    check(
        "writable",
        "sink 4 writev",
        "write 1; write 2; write 3; write 4; idle",
        "
         start w0
         write=true w1 0io(write:1)
         write=true w3
         write=false w6!
         write=false w10!
         0io w9! 0io(done writev:2,3,4)
         0io w0 0io(done) 0w(drain)
         idle w0
         final open ok*4 in=4",
    );
}

#[test]
fn r10_a_backlog_of_one_is_a_plain_write() {
    check(
        "writable",
        "sink 9 writev",
        "write 1; write 2; idle",
        "
         start w0
         write=true w1 0io(write:1)
         write=true w3
         0io w2 0io(done write:2)
         0io w0 0io(done)
         idle w0
         final open ok*2 in=2",
    );
}

#[test]
fn r11_corks_are_counted() {
    check(
        "writable",
        "sink 3 writev",
        "cork; cork; write 1; write 2; write 3; uncork; uncork",
        "
         start w0
         cork w0
         cork w0
         write=true w1
         write=false w3!
         write=false w6!
         uncork w6!
         uncork w6! 0io(writev:1,2,3)
         0io w0 0io(done) 0w(drain)
         final open ok*3 in=3",
    );
}

#[test]
fn r11_the_end_uncorks() {
    check(
        "writable",
        "sink 3 writev",
        "cork; cork; write 1; write 1; end",
        "
         start w0
         cork w0
         cork w0
         write=true w1
         write=true w2
         end w2 0io(writev:1,1)
         0io x 0(close) 0io(done) 0w(finish)
         final done ok*2 in=2",
    );
}

#[test]
fn r12_a_cork_holds_the_next_operation_not_the_running_one() {
    check(
        "writable",
        "sink 9",
        "write 1; write 2; cork; tick 1; uncork",
        "
         start w0
         write=true w1 0io(write:1)
         write=true w3
         cork w3
         0io w2 0io(done)
         tick w2
         uncork w2 0io(write:2)
         0io w0 0io(done)
         final open ok*2 in=2",
    );
}

#[test]
fn r13_a_corked_tank_does_not_drain_by_itself() {
    check(
        "writable",
        "sink 1",
        "cork; write 1; tick 5; uncork; tick 1",
        "
         start w0
         cork w0
         write=false w1!
         tick w1!
         uncork w1! 0io(write:1)
         0io w0 0io(done) 0w(drain)
         tick w0
         final open ok*1 in=1",
    );
}

#[test]
fn r14_a_chunk_of_no_bytes_reaches_the_sink() {
    check(
        "writable",
        "sink 2",
        "write 0; tick 1; write 2; write 0; idle",
        "
         start w0
         write=true w0 0io(write:0)
         0io w0 0io(done)
         tick w0
         write=false w2! 0io(write:2)
         write=false w2!
         0io w0 0io(done write:0) 0w(drain)
         0io w0 0io(done)
         idle w0
         final open ok*3 in=3",
    );
}

#[test]
fn r15_objects_weigh_1() {
    check(
        "writable",
        "sink 2 obj",
        "write 1000000; write 7",
        "
         start w0
         write=true w1 0io(write:1000000)
         write=false w2!
         0io w1! 0io(done write:7)
         0io w0 0io(done) 0w(drain)
         final open ok*2 in=2",
    );
}

#[test]
fn r16_every_write_has_its_result() {
    check(
        "writable",
        "sink 2",
        "write 1; write 1; idle",
        "
         start w0
         write=true w1 0io(write:1)
         write=false w2!
         0io w1! 0io(done write:1)
         0io w0 0io(done) 0w(drain)
         idle w0
         final open ok*2 in=2",
    );
}

#[test]
fn r17_the_end_flushes_then_finishes_and_owes_no_drain() {
    check(
        "writable",
        r#"sink 1 final={"delay":1}"#,
        "write 1; end; idle",
        "
         start w0
         write=false w1! 0io(write:1)
         end w1
         0io w0 0io(done final)
         0final x 0(close) 0io(final-done) 0w(finish)
         idle x
         final done ok*1 in=1",
    );
}

#[test]
fn r20_a_failed_operation_fails_all_that_is_queued() {
    check(
        "writable",
        "sink 99 failAt=0",
        "write 1; write 1; write 1; end; idle",
        "
         start w0
         write=true w1 0io(write:1)
         write=true w2
         write=true w3
         end w3
         0io x 0(error:E0 close) 0io(fail)
         idle x
         final error:E0 E0*3 in=0",
    );
}

#[test]
fn r22_the_first_destroy_counts() {
    check(
        "writable",
        "sink 9",
        "destroy a; destroy b",
        "
         start w0
         destroy x 0(error:a close)
         destroy x
         final error:a in=0",
    );
}

#[test]
fn r23_close_waits_for_the_asynchronous_cleanup() {
    check(
        "writable",
        "sink 9 destroyDelay=2",
        "destroy a; idle",
        "
         start w0
         destroy x 0io(destroy)
         0destroy x 0(error:a close) 0io(destroyed)
         idle x
         final error:a in=0",
    );
}

#[test]
fn r24_a_failed_final_is_an_error_and_no_finish() {
    check(
        "writable",
        r#"sink 9 final={"delay":1,"fail":true}"#,
        "end; idle",
        "
         start w0
         end w0 0io(final)
         0final x 0(error:F0 close) 0io(final-fail)
         idle x
         final error:F0 in=0",
    );
}

#[test]
fn r26_a_destroy_before_the_finish_leaves_none() {
    check(
        "writable",
        r#"sink 9 final={"delay":3}"#,
        "end; destroy -; idle",
        "
         start w0
         end w0 0io(final)
         destroy x 0(close)
         idle x
         final aborted in=0",
    );
}

#[test]
fn r26_a_destroy_after_the_finish_is_a_no_op() {
    check(
        "writable",
        "sink 9",
        "end; destroy a",
        "
         start w0
         end x 0(close) 0w(finish)
         destroy x
         final done in=0",
    );
}

#[test]
fn r27_writes_are_queued_until_it_is_open() {
    check(
        "writable",
        r#"sink 2 construct={"delay":2}"#,
        "write 1; write 1; idle",
        "
         start w0 0io(construct)
         write=true w1
         write=false w2!
         0construct w2! 0io(construct-done write:1)
         0io w1! 0io(done write:1)
         0io w0 0io(done) 0w(drain)
         idle w0
         final open ok*2 in=2",
    );
}

#[test]
fn r27_a_failed_opening_does_no_operation() {
    check(
        "writable",
        r#"sink 2 construct={"delay":2,"fail":true}"#,
        "write 1; idle",
        "
         start w0 0io(construct)
         write=true w1
         0construct x 0(error:C0 close) 0io(construct-fail)
         idle x
         final error:C0 C0*1 in=0",
    );
}

#[test]
fn r30_an_operation_that_never_completes_freezes_the_stream() {
    check(
        "writable",
        "sink 1 hangAt=0",
        "write 1; end; idle",
        "
         start w0
         write=false w1! 0io(write:1)
         end w1
         idle w1
         final open pending*1 in=0",
    );
}
