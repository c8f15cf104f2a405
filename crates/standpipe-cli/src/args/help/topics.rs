//! What is there to know beyond the flags?

/// The topics, as they are asked for, with their text: at most 80 columns.
pub(in super::super) const TOPICS: [(&str, &str); 7] = [
    ("uris", URIS),
    ("sizes", SIZES),
    ("exit-codes", EXIT_CODES),
    ("files", FILES),
    ("built-ins", BUILT_INS),
    ("views", VIEWS),
    ("json", JSON),
];

const VIEWS: &str = "\
What a run shows on stderr while it goes on:

  line    One line, redrawn; what a filter shows at a terminal
  tanks   Three rows, redrawn; what a run shows at a terminal. What commands say
          goes above them
  full    The whole screen, from 80x24 on, and keys; below that, three rows
  plain   A line each 10 s, for logs
  none    Errors only

In full, these keys are read while the terminal is ours, and not while a command
asks for a password. What was typed before the screen came is dropped:

  q       Abort, as Ctrl-C does           d   Drain and stop, as SIGTERM does
  p       Pause the source, and go on     ?   What keys and words mean
  - +     Limit the source                r   No limit any more
  t T     Tanks of half, or twice the size; --memory is kept

A command that reads plain answers from the terminal has to share it with them:
use tanks, which reads none.

auto is tanks or line; nothing where stderr is no terminal or is the one that
the data goes to; plain if TERM is dumb.
";

const BUILT_INS: &str = "\
Stages that run within standpipe, after -- and as exec of a pipeline file:

  @gzip [0-9]  @gunzip     As the programs of these names; level 6 without one
  @zstd [LEVEL] [threads=N]  @unzstd
                           Levels 1 to 22, -1 to -7 for speed, 3 without one; N
                           threads besides its own, for large data
  @lz4  @unlz4
  @xz [0-9]  @unxz         Level 6 without one
  @rate RATE               Lets so much pass: 10MB/s, or 500lines/s
  @lines                   Passes whole lines only, up to 1 MiB each, and counts
                           them
  @count                   Passes all, and counts bytes and lines
  @tee FILE                Passes all, and writes it to FILE as well, which has
                           its name when the whole run has succeeded
  @hash ALGORITHM          Passes all, and tells its sha256, sha512, blake3, md5
                           or crc32

What packs gives out what it holds back when nothing has come for 50 ms, so
`tail -f LOG | standpipe -- @gzip` hides nothing. What unpacks takes one file
after the other, and fails if the last one is cut off or something else
follows. What @count, @lines and @hash found is told on stderr, with -q too,
and with --json as a warning `finding`, when the whole run has succeeded:

  note: stage 2 `@hash sha256`: sha256 = e3b0c44298fc1c149afbf4c8996fb924...

Memory besides the tanks: less than 1 MiB for @gzip, @lz4 and the rest. @zstd
takes 4 MiB, 26 MiB at level 10, 90 MiB at 19, 760 MiB at 22, and with threads
25 to 75 MiB for each; @xz 3 MiB at level 0, 95 MiB at 6, 600 MiB or more at 9;
@unzstd up to 128 MiB and @unxz up to 256 MiB, as the data asks for.

A program of such a name is ./@gzip. In -c there are no built-ins: that is the
shell's.
";

/// The rows of ends that a build may lack.
#[cfg(feature = "http")]
macro_rules! http_rows {
    () => {
        "\
  http://HOST[:PORT]/PATH, https://HOST[:PORT]/PATH
                           GET to read, and a cut download goes on where it was
                           if the server can; PUT to write, ended only when the
                           whole run has succeeded. USER:PASSWORD@ before HOST
                           is Basic auth. No proxies; for https the machine's
                           root certificates, or those of SSL_CERT_FILE.
"
    };
}

#[cfg(not(feature = "http"))]
macro_rules! http_rows {
    () => {
        ""
    };
}

const URIS: &str = concat!(
    "\
Ends, for --from and --to, and in a pipeline file for from and to:

  PATH, file:///PATH       A file, device or FIFO. --to writes beside it under a
                           hidden name and gives the final name only when the
                           whole run has succeeded; SIGTERM leaves PATH.partial.
                           Devices and FIFOs are written in place. From file to
                           file, with nothing between, holes stay holes.
  file:///PATH?offset=SIZE&length=SIZE
                           A part of a file or block device, to read
  -                        Our stdin or stdout
  fd:N                     A descriptor that is open at start
  tcp://HOST:PORT          A connection we make; an IPv6 address in [ and ]
  tcp-listen://ADDRESS:PORT
                           A connection we wait for, on that address alone
  unix:///PATH             A Unix stream socket
",
    http_rows!(),
    "\
  null:                    Nothing to read; takes everything
  zero:SIZE                So many zero bytes, to read; without SIZE no end
  random:SIZE?seed=N       Made-up bytes, equal for equal seeds, to read

A word that begins with an unknown scheme:// is an error; ./x://y is a file.
Of a sender that is killed with kill -9 its kernel closes the connection as if
all had been sent: nobody can tell. Where that matters, send what tells by
itself whether it is whole (gzip, zstd), and check it (gzip -t) at the end.
In file:// a byte may be written as %41. After --, the first or the last stage
may be an end with a scheme. The user and password of a URI are shown as ***.

An existing file is refused. --overwrite replaces it on success, --append adds
to it in place.

Several --to get the same bytes, each through a tank of its own, and the slowest
paces all. Files get their names when all of them are on disk, or none does. If
the --to before it is slow, --full says what becomes of its bytes:

  --full wait              They wait, and so do the others; the default
  --full fail              The run fails
  --full drop-newest       They are left out, whole lines of them, and counted
  --full drop-oldest       Those that wait are left out instead: the end sees
                           what is new. drop-* is refused for a file and for
                           http, which would look complete.
"
);

const SIZES: &str = "\
Sizes
  64K  64k  64KiB  1.5M  2GiB    1024^n bytes
  64KB  64kB  10MB               1000^n bytes
  65536                          bytes
  2%                             of the memory of the machine or of the cgroup,
                                 the lower; with --low of the high-water mark

Rates, for --rate
  10MB/s  10MiB/s  10M/s  10M    bytes in a second
  80Mbit/s                       bits in a second
  1G/h  500K/m                   in an hour, in a minute
  max                            no limit

Times
  250ms  1.5s  2m  1h30m         a unit is needed: 5 is refused, 5s is not

What could be meant in two ways is refused with both as a hint: 64kb could be
bits or bytes.
";

const EXIT_CODES: &str = "\
Exit codes
  0        every stage ended well, and the sink has taken every byte
  1-123    the code of the stage that failed first by cause
  124      --timeout or --stall
  125      standpipe itself: usage, an end that failed (not found, disk full,
           refused), memory that cannot suffice, an early stop under --strict
  126      a command is not executable; nothing was started
  127      a command is not found; nothing was started
  128+N    a stage was killed by signal N; told to end by INT, TERM, HUP or
           PIPE, standpipe itself dies of that signal

First by cause: a stage that dies because its reader had gone is a consequence
of what happened to the reader, and a stage below a failure is a consequence of
that failure. If the reader ended with 0 (yes | head), nothing failed: that is a
note, and 125 under --strict. A stage's own 124 to 255 passes through.
";

const FILES: &str = "\
A pipeline file is TOML, in UTF-8. Paths are relative to the working directory;
a name that is not UTF-8 can only be given on the command line.

  version = 1              # required
  name = \"nightly\"         # optional, as all below
  memory = \"64MiB\"
  rate = \"10MB/s\"
  total = \"2GiB\"
  stall = \"30s\"
  timeout = \"1h\"
  drain = \"10s\"
  strict = true

  [[stage]]
  id = \"dump\"              # default: its number in the file
  shell = \"pg_dump shop\"   # sh -c; one of exec, shell, from, to
  stderr = \"prefix\"        # prefix, inherit, drop, file:PATH

  [[stage]]
  id = \"pack\"
  exec = [\"zstd\", \"-3\"]    # program and arguments, no shell
  tank = \"8MiB\"            # the tank before this stage
  low = \"50%\"              # its low-water mark

  [[stage]]
  input = \"pack\"           # default: the stage above
  to = \"shop.zst\"          # an end, see: standpipe help uris
  overwrite = true         # or append = true

  [[stage]]
  input = \"pack\"           # several may read from one stage if each has `to`
  to = \"tcp://mirror:9000\"
  full = \"wait\"            # if it is slow: wait, fail, drop-newest, drop-oldest

Options on the command line beat the file. `standpipe check FILE` prints what
would be built.
";

const JSON: &str = "\
With --json a run writes what happens as JSON, one object a line: to stderr in
place of the display, with --json=fd:N to an open descriptor, with --json=FILE
to the end of a file.

Every line has v (1), event, t (UTC) and run. Within version 1 fields are only
added: ignore what you do not know. Counters count from the start, so a line
may be missed.

  start       stages and tanks, with their marks
  sample      each second: bytes, levels, how each stage spent its time
  slowest     the slowest stage has become another
  pause, resume
              a tank has shut, has opened again; with -vv
  drain       SIGTERM lets the tanks empty
  warning     stages that stopped early, lines of stderr, and the like
  stage_exit  how a stage ended, and for whose sake
  end         the last line on every path: status, exit code, outputs

A stream without end is of a run that failed. A slow reader costs samples, which
are counted as dropped_samples, never speed.

`standpipe help json --schema` prints the JSON Schema of a line.
";
