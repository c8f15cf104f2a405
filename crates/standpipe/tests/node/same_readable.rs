//! Node's rules of readable streams and transforms that the Node mode shares.

use super::check;

#[test]
fn r32_nothing_is_requested_before_a_read() {
    check(
        "readable",
        "source 9 chunks=[1] delays=[5]",
        "tick 3; read",
        "
         start r0
         tick r0
         read=null r0 0io(req)
         0io r1 0io(chunk:1 req)
         0io r1 0io(eof)
         final open",
    );
}

#[test]
fn r33_a_push_is_answered_by_the_level() {
    check(
        "readable",
        r#"source 10 mode="push""#,
        "push 9; push 1; push 1; push -",
        "
         start r0
         push=true r9
         push=false r10
         push=false r11
         push=false r11
         final open",
    );
}

#[test]
fn r33_at_a_mark_of_0_only_an_empty_push_is_true() {
    check(
        "readable",
        r#"source 0 mode="push""#,
        "push 0; push 1",
        "
         start r0
         push=true r0
         push=false r1
         final open",
    );
}

#[test]
fn r34_one_request_at_a_time() {
    check(
        "readable",
        "source 100 chunks=[1,1] delays=[2]",
        "read; read; tick 2",
        "
         start r0
         read=null r0 0io(req)
         read=null r0
         0io r1 0io(chunk:1 req)
         tick r1
         0io r2 0io(chunk:1 req)
         0io r2 0io(eof)
         final open",
    );
}

#[test]
fn r35_asked_or_ended_or_at_the_mark() {
    check(
        "readable",
        "source 10 chunks=[4,4,4,4]",
        "read; tick 9; read 2; read 1",
        "
         start r0
         read=null r0 0io(req)
         0io r4 0io(chunk:4 req)
         0io r8 0io(chunk:4 req)
         0io r12 0io(chunk:4)
         tick r12
         read=2 r10
         read=1 r9 0io(req)
         0io r13 0io(chunk:4)
         final open",
    );
}

#[test]
fn r36_an_empty_answer_asks_again() {
    check(
        "readable",
        "source 10 chunks=[0] delays=[1,5]",
        "read; tick 1",
        "
         start r0
         read=null r0 0io(req)
         0io r0 0io(chunk:0 req)
         tick r0
         0io r0 0io(eof)
         final open",
    );
}

#[test]
fn r36_no_answer_stalls() {
    check(
        "readable",
        "source 10 chunks=[] end=false",
        "read; read; idle",
        "
         start r0
         read=null r0 0io(req)
         read=null r0
         idle r0
         final open",
    );
}

#[test]
fn r37_a_mark_of_0_does_not_read_ahead() {
    check(
        "readable",
        "source 0 chunks=[3,3]",
        "read; tick 9; read; tick 9; read",
        "
         start r0
         read=null r0 0io(req)
         0io r3 0io(chunk:3)
         tick r3
         read=3 r0
         tick r0
         read=null r0 0io(req)
         0io r3 0io(chunk:3)
         final open",
    );
}

#[test]
fn r39_a_read_of_n_takes_n_or_nothing() {
    check(
        "readable",
        r#"source 100 mode="push""#,
        "push 5; read 6; read 2; push -; read 9",
        "
         start r0
         push=true r5
         read=null r5
         read=2 r3
         push=false r3
         read=3 x 0(close) 0r(end)
         final done",
    );
}

#[test]
fn r41_the_end_comes_to_who_reads_it() {
    check(
        "readable",
        r#"source 9 mode="push""#,
        "push 3; push -; tick 5; read",
        "
         start r0
         push=true r3
         push=false r3
         tick r3
         read=3 x 0(close) 0r(end)
         final done",
    );
}

#[test]
fn r43_an_unshift_goes_to_the_front() {
    check(
        "readable",
        r#"source 9 mode="push""#,
        "push 2; unshift 1; read 1; read; push -; unshift 1; read",
        "
         start r0
         push=true r2
         unshift=true r3
         read=1 r2
         read=2 r0
         push=false r0
         unshift=false r1
         read=1 x 0(close) 0r(end)
         final done",
    );
}

#[test]
fn r48_a_paused_consumer_lets_the_source_fill_to_the_mark() {
    check(
        "readable flow",
        "source 3 obj chunks=[1,2,3,4,5]",
        "pause; tick 9; resume",
        "
         start r0 0io(req)
         pause r0
         0io r1 0io(chunk:1 req)
         0io r2 0io(chunk:2 req)
         0io r3 0io(chunk:3)
         tick r3
         resume r0 0c(1 2 3) 0io(req)
         0io r0 0c(4) 0io(chunk:4 req)
         0io r0 0c(5) 0io(chunk:5 req)
         0io x 0(close) 0io(eof) 0r(end)
         final done",
    );
}

#[test]
fn r51_a_destroyed_source_delivers_and_asks_nothing() {
    check(
        "readable",
        r#"source 9 mode="push""#,
        "push 1; destroy x; read",
        "
         start r0
         push=true r1
         destroy x 0(error:x close)
         read=null x
         final error:x",
    );
}

#[test]
fn r56_close_waits_for_the_cleanup_of_a_source() {
    check(
        "readable",
        "source 9 chunks=[1] destroyDelay=2",
        "destroy -; idle",
        "
         start r0
         destroy x 0io(destroy)
         0destroy x 0(close) 0io(destroyed)
         idle x
         final aborted",
    );
}

#[test]
fn r57_no_request_before_it_is_open() {
    check(
        "readable",
        r#"source 9 chunks=[1] construct={"delay":2} delays=[5]"#,
        "read; tick 2",
        "
         start r0 0io(construct)
         read=null r0
         0construct r0 0io(construct-done req)
         tick r0
         0io r1 0io(chunk:1 req)
         0io r1 0io(eof)
         final open",
    );
}

#[test]
fn r58_end_and_error_exclude_each_other() {
    check(
        "readable",
        r#"source 9 mode="push""#,
        "push 1; push -; destroy x; read",
        "
         start r0
         push=true r1
         push=false r1
         destroy x 0(error:x close)
         read=null x
         final error:x",
    );
}

#[test]
fn r106_a_consuming_loop_reads_ahead() {
    check(
        "readable iterate",
        "source 3 obj chunks=[1,2,3,4,5]",
        "tick 9",
        "
         start r0 0io(req)
         0io r0 0c(1) 0io(chunk:1 req)
         0io r1 0io(chunk:2 req)
         0io r2 0io(chunk:3 req)
         0io r3 0io(chunk:4)
         tick r3
         0consumer r2 0c(2) 0io(req)
         0io r3 0io(chunk:5)
         0consumer r2 0c(3) 0io(req)
         0io r2 0io(eof)
         0consumer r1 0c(4)
         0consumer x 0(close) 0c(5) 0r(end)
         0consumer x 0c(done)
         final done",
    );
}

#[test]
fn r59_a_chunk_over_the_output_mark_is_held() {
    check(
        "transform",
        "transform 2/2 obj",
        "write 1; write 2; write 3; write 4; write 5; write 6; idle",
        "
         start w0r0
         write=true w1r0 0io(in:1)
         write=false w2!r0
         write=false w3!r0
         write=false w4!r0
         write=false w5!r0
         write=false w6!r0
         0io w5!r1 0io(out:1 in:2)
         0io w5!r2 0io(out:2)
         idle w5!r2
         final open",
    );
}

#[test]
fn r61_a_read_releases_one_held_chunk() {
    check(
        "transform",
        "transform 2/2 obj",
        "write 1; write 2; write 3; write 4; write 5; write 6; idle; read; idle",
        "
         start w0r0
         write=true w1r0 0io(in:1)
         write=false w2!r0
         write=false w3!r0
         write=false w4!r0
         write=false w5!r0
         write=false w6!r0
         0io w5!r1 0io(out:1 in:2)
         0io w5!r2 0io(out:2)
         idle w5!r2
         read=1 w4!r1 0io(in:3)
         0io w4!r2 0io(out:3)
         idle w4!r2
         final open",
    );
}

#[test]
fn r63_the_output_mark_holds_after_the_end() {
    check(
        "transform",
        "transform 2/2 obj",
        "flood 1 2 3 4 5 6 7 8 9; tick 2; end; idle; read; idle",
        "
         start w0r0
         flood=8 w9!r0 0io(in:1)
         0io w8!r1 0io(out:1 in:2)
         0io w8!r2 0io(out:2)
         tick w8!r2
         end w8r2
         idle w8r2
         read=1 w7r1 0io(in:3)
         0io w7r2 0io(out:3)
         idle w7r2
         final open",
    );
}

#[test]
fn r65_the_flush_comes_last() {
    check(
        "transform",
        r#"transform 9/9 obj flush={"delay":1,"out":[4]}"#,
        "end 1; idle; read; read",
        "
         start w0r0
         end w1r0 0io(in:1)
         0io w0r1 0io(out:1 flush)
         0final w0r2 0io(flushed:4) 0w(finish)
         idle w0r2
         read=1 w0r1
         read=4 x 0(close) 0r(end)
         final done",
    );
}

#[test]
fn r66_a_transform_has_finished_when_its_input_is_processed() {
    check(
        "transform",
        "transform 9/9",
        "write 5; end; idle",
        "
         start w0r0
         write=true w5r0 0io(in:5)
         end w5r0
         0io w0r5 0io(out:5) 0w(finish)
         idle w0r5
         final open",
    );
}

#[test]
fn r67_an_error_destroys_both_halves() {
    check(
        "transform",
        "transform 9/9 obj failAt=1",
        "write 1; write 2; write 3; idle",
        "
         start w0r0
         write=true w1r0 0io(in:1)
         write=true w2r0
         write=true w3r0
         0io w2r1 0io(out:1 in:2)
         0io x 0(error:E0 close) 0io(fail)
         idle x
         final error:E0",
    );
}

#[test]
fn r69_each_half_counts_in_its_own_unit() {
    check(
        "transform",
        "transform 9/9 rObj out=[[1,1,1,1,1]]",
        "write 5; idle",
        "
         start w0r0
         write=true w5r0 0io(in:5)
         0io w0r5 0io(out:1,1,1,1,1)
         idle w0r5
         final open",
    );
}

#[test]
fn r118_a_read_releases_no_chunk_too_many() {
    check(
        "transform",
        "transform 1/1 obj",
        "flood 1 2 3 4 5; idle; read; tick 1; idle",
        "
         start w0r0
         flood=5 w5!r0 0io(in:1)
         0io w5!r1 0io(out:1)
         idle w5!r1
         read=1 w4!r0 0io(in:2)
         0io w4!r1 0io(out:2)
         tick w4!r1
         idle w4!r1
         final open",
    );
}

#[test]
fn r119_a_mark_of_0_is_asked_once_it_is_open() {
    check(
        "readable",
        r#"source 0 chunks=[3] construct={"delay":2}"#,
        "read; tick 9",
        "
         start r0 0io(construct)
         read=null r0
         0construct r0 0io(construct-done req)
         0io r3 0io(chunk:3)
         tick r3
         final open",
    );
}
