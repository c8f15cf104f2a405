//! Node's rules of pipes and pipelines that the Node mode shares, and the bugs
//! that it does not.

use super::check;

#[test]
fn r73_a_false_write_pauses_the_source() {
    check(
        "pipe",
        "source 2 obj chunks=[0,1,2,3,4,5] | sink 2 obj delays=[9,2,9]",
        "tick 11",
        "
         start r0 w0 0io(req)
         0io r0 w1 0io(chunk:0 req) 1io(write:0)
         0io r0 w2! 0io(chunk:1 req)
         0io r1 w2! 0io(chunk:2 req)
         0io r2 w2! 0io(chunk:3)
         1io r2 w1! 1io(done write:1)
         tick r2 w1!
         1io r0 w2! 0io(req) 1io(done write:2) 1w(drain)
         0io r1 w2! 0io(chunk:4 req)
         0io r2 w2! 0io(chunk:5)
         1io r2 w1! 1io(done write:3)
         1io r0 w2! 0io(req) 1io(done write:4) 1w(drain)
         0io e w2 0io(eof)
         1io e w1 1io(done write:5)
         1io e x 1(close) 1io(done) 1w(finish)
         final done done in=6",
    );
}

#[test]
fn r74_the_source_waits_for_the_slowest() {
    check(
        "pipe kept",
        "source 4 obj chunks=[1,2] end=false | sink 1 obj delays=[5] | sink 1 obj delays=[7] | sink 9 obj delays=[9]",
        "tick 7",
        "
         start r0 w0 w0 w0 0io(req)
         0io r0 w1! w1! w1 0io(chunk:1 req) 1io(write:1) 2io(write:1) 3io(write:1)
         0io r1 w1! w1! w1 0io(chunk:2 req)
         1io r1 w0 w1! w1 1io(done) 1w(drain)
         tick r1 w0 w1! w1
         2io r0 w1! w1! w2 1io(write:2) 2io(done write:2) 2w(drain)
         3io r0 w1! w1! w1 3io(done write:2)
         1io r0 w0 w1! w1 1io(done) 1w(drain)
         2io r0 w0 w0 w1 2io(done) 2w(drain)
         3io r0 w0 w0 w0 3io(done)
         final open open in=2 open in=2 open in=2",
    );
}

#[test]
fn r75_taking_off_the_slow_one_releases_the_source() {
    check(
        "pipe kept",
        "source 4 obj chunks=[1,2] end=false | sink 1 obj delays=[9] | sink 99 obj delays=[9]",
        "tick 3; unpipe 1/0",
        "
         start r0 w0 w0 0io(req)
         0io r0 w1! w1 0io(chunk:1 req) 1io(write:1) 2io(write:1)
         0io r1 w1! w1 0io(chunk:2 req)
         tick r1 w1! w1
         unpipe r0 w1! w2
         1io r0 w0 w2 1io(done) 1w(drain)
         2io r0 w0 w1 2io(done write:2)
         2io r0 w0 w0 2io(done)
         final open open in=1 open in=2",
    );
}

#[test]
fn r76_taking_off_the_last_one_pauses_the_source() {
    check(
        "pipe",
        "source 4 obj chunks=[1] end=false | sink 9 obj",
        "unpipe 1/0; idle",
        "
         start r0 w0 0io(req)
         unpipe r0 w0
         0io r1 w0 0io(chunk:1 req)
         idle r1 w0
         final open open in=0",
    );
}

#[test]
fn r78_the_end_ends_the_destination() {
    check(
        "pipe",
        "source 4 chunks=[1] | sink 9",
        "idle",
        "
         start r0 w0 0io(req)
         0io r0 w1 0io(chunk:1 req) 1io(write:1)
         0io e w1 0io(eof)
         1io e x 1(close) 1io(done) 1w(finish)
         idle e x
         final done done in=1",
    );
}

#[test]
fn r78_unless_it_is_kept_open() {
    check(
        "pipe kept",
        "source 4 chunks=[1] | sink 9",
        "idle",
        "
         start r0 w0 0io(req)
         0io r0 w1 0io(chunk:1 req) 1io(write:1)
         0io e w1 0io(eof)
         1io e w0 1io(done)
         idle e w0
         final done open in=1",
    );
}

#[test]
fn r113_order_and_boundaries_are_kept() {
    check(
        "pipe",
        "source 3 chunks=[1,2,3,4,5] | sink 3",
        "idle",
        "
         start r0 w0 0io(req)
         0io r0 w1 0io(chunk:1 req) 1io(write:1)
         0io r0 w3! 0io(chunk:2 req)
         1io r0 w2! 1io(done write:2)
         0io r3 w2! 0io(chunk:3)
         1io r0 w3! 0io(req) 1io(done write:3) 1w(drain)
         0io r4 w3! 0io(chunk:4)
         1io r0 w4! 0io(req) 1io(done write:4) 1w(drain)
         0io r5 w4! 0io(chunk:5)
         1io r0 w5! 0io(req) 1io(done write:5) 1w(drain)
         0io e w5 0io(eof)
         1io e x 1(close) 1io(done) 1w(finish)
         idle e x
         final done done in=5",
    );
}

#[test]
fn r120_the_end_comes_after_everything_before_it() {
    check(
        "pipe",
        "source 4 obj chunks=[1] | sink 1 obj delays=[4]",
        "idle",
        "
         start r0 w0 0io(req)
         0io r0 w1! 0io(chunk:1 req) 1io(write:1)
         0io e w1 0io(eof)
         1io e x 1(close) 1io(done) 1w(finish)
         idle e x
         final done done in=1",
    );
}

#[test]
fn r82_one_result_after_the_last_stage_has_closed() {
    check(
        "pipeline",
        "source 4 obj chunks=[1] | transform 4/4 obj | sink 4 obj delays=[5]",
        "idle",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         0io e w1r0 w0 0io(eof)
         1io e e w1 1io(out:1) 1w(finish) 2io(write:1)
         2io e e x 2(close) 2io(done) 2w(finish) pl(ok)
         idle e e x
         final done done done in=1 pl=ok",
    );
}

#[test]
fn r83_an_error_of_the_source_destroys_all() {
    check(
        "pipeline",
        "source 4 obj chunks=[1,2,3] failAt=1 | transform 4/4 obj | sink 4 obj",
        "idle",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         0io x x x 0(error:E0 close) 0io(fail) 1(error:E0 close) 2(error:E0 close) pl(E0)
         idle x x x
         final error:E0 error:E0 error:E0 in=0 pl=E0",
    );
}

#[test]
fn r83_an_error_of_the_transform_destroys_all() {
    check(
        "pipeline",
        "source 4 obj chunks=[1,2,3] | transform 4/4 obj failAt=1 | sink 4 obj",
        "idle",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         0io r0 w2r0 w0 0io(chunk:2 req)
         1io r0 w1r0 w1 1io(out:1 in:2) 2io(write:1)
         0io r0 w2r0 w1 0io(chunk:3 req)
         1io x x x 0(error:E1 close) 1(error:E1 close) 1io(fail) 2(error:E1 close) pl(E1)
         idle x x x
         final error:E1 error:E1 error:E1 in=0 pl=E1",
    );
}

#[test]
fn r83_an_error_of_the_sink_destroys_all() {
    check(
        "pipeline",
        "source 4 obj chunks=[1,2,3] | transform 4/4 obj | sink 4 obj failAt=1",
        "idle",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         0io r0 w2r0 w0 0io(chunk:2 req)
         1io r0 w1r0 w1 1io(out:1 in:2) 2io(write:1)
         0io r0 w2r0 w1 0io(chunk:3 req)
         1io r0 w1r0 w2 1io(out:2 in:3)
         2io r0 w1r0 w1 2io(done write:2)
         0io e w1r0 w1 0io(eof)
         1io e e w2 1io(out:3) 1w(finish)
         2io e e x 2(error:E2 close) 2io(fail) pl(E2)
         idle e e x
         final done done error:E2 in=1 pl=E2",
    );
}

#[test]
fn r84_a_source_that_closes_early_is_a_premature_close() {
    check(
        "pipeline",
        "source 4 obj chunks=[1,2,3] | transform 4/4 obj | sink 4 obj",
        "tick 1; destroy -@0",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         tick r0 w1r0 w0
         destroy x x x 0(close) 1(error:PREMATURE_CLOSE close) 2(error:PREMATURE_CLOSE close) pl(PREMATURE_CLOSE)
         final aborted error:PREMATURE_CLOSE error:PREMATURE_CLOSE in=0 pl=PREMATURE_CLOSE",
    );
}

#[test]
fn r84_a_transform_that_closes_early_is_a_premature_close() {
    check(
        "pipeline",
        "source 4 obj chunks=[1,2,3] | transform 4/4 obj | sink 4 obj",
        "tick 1; destroy -@1",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         tick r0 w1r0 w0
         destroy x x x 0(error:PREMATURE_CLOSE close) 1(close) 2(error:PREMATURE_CLOSE close) pl(PREMATURE_CLOSE)
         final error:PREMATURE_CLOSE aborted error:PREMATURE_CLOSE in=0 pl=PREMATURE_CLOSE",
    );
}

#[test]
fn r84_a_sink_that_closes_early_is_a_premature_close() {
    check(
        "pipeline",
        "source 4 obj chunks=[1,2,3] | transform 4/4 obj | sink 4 obj",
        "tick 1; destroy -@2",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         tick r0 w1r0 w0
         destroy x x x 0(error:PREMATURE_CLOSE close) 1(error:PREMATURE_CLOSE close) 2(close) pl(PREMATURE_CLOSE)
         final error:PREMATURE_CLOSE error:PREMATURE_CLOSE aborted in=0 pl=PREMATURE_CLOSE",
    );
}

#[test]
fn r85_a_stage_that_is_done_is_spared() {
    check(
        "pipeline",
        "source 4 obj chunks=[1] | sink 4 obj delays=[5] failAt=0",
        "idle",
        "
         start r0 w0 0io(req)
         0io r0 w1 0io(chunk:1 req) 1io(write:1)
         0io e w1 0io(eof)
         1io e x 1(error:E1 close) 1io(fail) pl(E1)
         idle e x
         final done error:E1 in=0 pl=E1",
    );
}

#[test]
fn r86_the_result_comes_after_every_close() {
    check(
        "pipeline",
        r#"source 4 obj chunks=[1,2,3] failAt=0 | transform 4/4 obj | sink 4 obj construct={"delay":5}"#,
        "idle",
        "
         start r0 w0r0 w0 0io(req) 2io(construct)
         0io x x x 0(error:E0 close) 0io(fail) 1(error:E0 close)
         2construct x x x 2(error:E0 close) 2io(construct-done) pl(E0)
         idle x x x
         final error:E0 error:E0 error:E0 in=0 pl=E0",
    );
}

#[test]
fn r87_an_abort_destroys_every_stage() {
    check(
        "pipeline",
        "source 4 obj chunks=[1,2,3] | transform 4/4 obj | sink 4 obj",
        "tick 1; abort; abort",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         tick r0 w1r0 w0
         abort x x x 0(error:ABORTED close) 1(error:ABORTED close) 2(error:ABORTED close) pl(ABORTED)
         abort x x x
         final error:ABORTED error:ABORTED error:ABORTED in=0 pl=ABORTED",
    );
}

#[test]
fn r88_a_destination_kept_open_is_spared_on_success() {
    check(
        "pipeline kept",
        "source 4 obj chunks=[1,2,3] | transform 4/4 obj | sink 4 obj",
        "idle",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         0io r0 w2r0 w0 0io(chunk:2 req)
         1io r0 w1r0 w1 1io(out:1 in:2) 2io(write:1)
         0io r0 w2r0 w1 0io(chunk:3 req)
         1io r0 w1r0 w2 1io(out:2 in:3)
         2io r0 w1r0 w1 2io(done write:2)
         0io e w1r0 w1 0io(eof)
         1io e e w2 1io(out:3) 1w(finish) pl(ok)
         2io e e w1 2io(done write:3)
         2io e e w0 2io(done)
         idle e e w0
         final done done open in=3 pl=ok",
    );
}

#[test]
fn r88_a_destination_kept_open_is_spared_on_failure() {
    check(
        "pipeline kept",
        "source 4 obj chunks=[1,2,3] failAt=1 | transform 4/4 obj | sink 4 obj",
        "idle",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1r0 w0 0io(chunk:1 req) 1io(in:1)
         0io x x w0 0(error:E0 close) 0io(fail) 1(error:E0 close) pl(E0)
         idle x x w0
         final error:E0 error:E0 open in=0 pl=E0",
    );
}

#[test]
fn r115_always_a_result() {
    check(
        "pipeline",
        "source 9 obj chunks=[1,2,3] | sink 1 obj delays=[99]",
        "tick 9; destroy -@0",
        "
         start r0 w0 0io(req)
         0io r0 w1! 0io(chunk:1 req) 1io(write:1)
         0io r1 w1! 0io(chunk:2 req)
         0io r2 w1! 0io(chunk:3 req)
         0io r2 w1! 0io(eof)
         tick r2 w1!
         destroy x x 0(close) 1(error:PREMATURE_CLOSE close) pl(PREMATURE_CLOSE)
         final aborted error:PREMATURE_CLOSE in=0 pl=PREMATURE_CLOSE",
    );
}

#[test]
fn r116_a_destination_that_closes_late_is_taken_off_at_once() {
    check(
        "pipe kept",
        "source 4 obj chunks=[1,2] end=false | sink 1 obj delays=[9] destroyDelay=50 | sink 9 obj delays=[9]",
        "tick 2; destroy -@1; tick 1",
        "
         start r0 w0 w0 0io(req)
         0io r0 w1! w1 0io(chunk:1 req) 1io(write:1) 2io(write:1)
         0io r1 w1! w1 0io(chunk:2 req)
         tick r1 w1! w1
         destroy r0 x w2 1io(destroy)
         tick r0 x w2
         2io r0 x w1 2io(done write:2)
         2io r0 x w0 2io(done)
         1destroy r0 x w0 1(close) 1io(destroyed)
         final open aborted in=0 open in=2",
    );
}

#[test]
fn r117_success_destroys_nobody() {
    check(
        "pipeline kept",
        "source 1 obj chunks=[1,2,3] | transform 1/1 obj | sink 1 obj",
        "idle",
        "
         start r0 w0r0 w0 0io(req)
         0io r0 w1!r0 w0 0io(chunk:1 req) 1io(in:1)
         0io r1 w1!r0 w0 0io(chunk:2)
         1io r0 w1!r0 w1! 0io(req) 1io(out:1 in:2) 1w(drain) 2io(write:1)
         0io r1 w1!r0 w1! 0io(chunk:3)
         1io r1 w1!r1 w1! 1io(out:2)
         2io r0 w1!r0 w1! 0io(req) 1io(in:3) 1w(drain) 2io(done write:2) 2w(drain)
         0io e w1r0 w1! 0io(eof)
         1io e w1r1 w1! 1io(out:3)
         2io e e w1 1w(finish) 2io(done write:3) 2w(drain) pl(ok)
         2io e e w0 2io(done)
         idle e e w0
         final done done open in=3 pl=ok",
    );
}

#[test]
fn r121_no_success_before_the_final_has_returned() {
    check(
        "pipeline",
        r#"source 4 obj chunks=[1] | sink 4 obj final={"delay":9}"#,
        "tick 3; destroy -@1",
        "
         start r0 w0 0io(req)
         0io r0 w1 0io(chunk:1 req) 1io(write:1)
         0io e w1 0io(eof)
         1io e w0 1io(done final)
         tick e w0
         destroy e x 1(close) pl(PREMATURE_CLOSE)
         final done aborted in=1 pl=PREMATURE_CLOSE",
    );
}

#[test]
fn r81_all_sources_write_at_a_drain() {
    check(
        "merge",
        "source 4 obj chunks=[1,2,3,4] delays=[1] | source 4 obj chunks=[100001,100002,100003,100004] delays=[1] | source 4 obj chunks=[200001,200002,200003,200004] delays=[1] | sink 1 obj delays=[10]",
        "tick 10; tick 20",
        "
         start r0 r0 r0 w0 0io(req) 1io(req) 2io(req)
         0io r0 r0 r0 w1! 0io(chunk:1 req) 3io(write:1)
         1io r0 r0 r0 w2! 1io(chunk:100001 req)
         2io r0 r0 r0 w3! 2io(chunk:200001 req)
         0io r1 r0 r0 w3! 0io(chunk:2 req)
         1io r1 r1 r0 w3! 1io(chunk:100002 req)
         2io r1 r1 r1 w3! 2io(chunk:200002 req)
         0io r2 r1 r1 w3! 0io(chunk:3 req)
         1io r2 r2 r1 w3! 1io(chunk:100003 req)
         2io r2 r2 r2 w3! 2io(chunk:200003 req)
         0io r3 r2 r2 w3! 0io(chunk:4 req)
         1io r3 r3 r2 w3! 1io(chunk:100004 req)
         2io r3 r3 r3 w3! 2io(chunk:200004 req)
         0io r3 r3 r3 w3! 0io(eof)
         1io r3 r3 r3 w3! 1io(eof)
         2io r3 r3 r3 w3! 2io(eof)
         tick r3 r3 r3 w3!
         3io r3 r3 r3 w2! 3io(done write:100001)
         3io r3 r3 r3 w1! 3io(done write:200001)
         tick r3 r3 r3 w1!
         3io r2 r2 r2 w3! 3io(done write:2) 3w(drain)
         3io r2 r2 r2 w2! 3io(done write:100002)
         3io r2 r2 r2 w1! 3io(done write:200002)
         3io r1 r1 r1 w3! 3io(done write:3) 3w(drain)
         3io r1 r1 r1 w2! 3io(done write:100003)
         3io r1 r1 r1 w1! 3io(done write:200003)
         3io e e e w3 3io(done write:4) 3w(drain)
         3io e e e w2 3io(done write:100004)
         3io e e e w1 3io(done write:200004)
         3io e e e x 3(close) 3io(done) 3w(finish)
         final done done done done in=12",
    );
}
