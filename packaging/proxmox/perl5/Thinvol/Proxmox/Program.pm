package Thinvol::Proxmox::Program;

# Runs thinvol for the storage plugins: without a shell, within a time limit, and turns its answers into values and its
# errors into one line for the task log.

use strict;
use warnings;

use IO::Select;
use POSIX ();
use Time::HiRes qw(CLOCK_MONOTONIC);

# Where the package puts it.
our $PROGRAM = '/usr/sbin/thinvol';

# What every call gets first.
our @OPTIONS = ();

# The longest answer that is read, in bytes.
my $LONGEST = 256 * 1024 * 1024;

# Seconds that a program gets to end after it was told to, and after it was killed.
my $AFTER_TERM = 10;
my $AFTER_KILL = 0.5;

# Programs that were not waited for: pid => what they do.
my %left;

my $json;

sub now {
    return Time::HiRes::clock_gettime(CLOCK_MONOTONIC);
}

sub decoder {
    return $json if $json;
    # The fast one is on most hosts; the other comes with Perl.
    my $class = eval { require JSON::XS; 1 } ? 'JSON::XS' : do { require JSON::PP; 'JSON::PP' };
    return $json = $class->new->utf8;
}

# The value in a text of JSON, undef if it is none.
sub decoded {
    my ($text) = @_;
    my $value = eval { decoder()->decode($text) };
    return ref($value) eq 'HASH' ? $value : undef;
}

# What is in a list of a document, those of another kind left out.
sub texts {
    my ($document, $key) = @_;
    my $list = $document->{$key};
    return grep { defined($_) && !ref($_) } ref($list) eq 'ARRAY' ? @$list : ();
}

sub rows {
    my ($document, $key) = @_;
    my $list = $document->{$key};
    return grep { ref($_) eq 'HASH' } ref($list) eq 'ARRAY' ? @$list : ();
}

# A text from outside as it may be shown: in one line, as bytes, without what a terminal would obey.
sub shown {
    my ($text) = @_;
    $text = '' if !defined($text);
    $text =~ s/\s+/ /g;
    $text =~ s/[\x00-\x1f\x7f-\x9f]/?/g;
    utf8::encode($text) if utf8::is_utf8($text);
    return length($text) > 2000 ? substr($text, 0, 2000) . ' ...' : $text;
}

# Forgets the programs that have ended since.
sub reap {
    for my $pid (keys %left) {
        my $got = waitpid($pid, POSIX::WNOHANG());
        delete $left{$pid} if $got == $pid || $got == -1;
    }
    return;
}

# Whether a program that was left behind still does this.
sub is_under_way {
    my ($what) = @_;
    reap();
    return scalar grep { $_ eq $what } values %left;
}

# In the child: becomes the program, or does what `code` says.
sub become {
    my ($argv, $code, $in, $out, $err) = @_;
    $SIG{$_} = 'DEFAULT' for qw(ALRM CHLD HUP INT PIPE QUIT TERM USR1 USR2);
    my $from = defined($in) ? $in : POSIX::open('/dev/null', POSIX::O_RDONLY());
    # The first three may be among those that are given, or closed.
    my @fds = map { my $fd = POSIX::dup($_); $fd = POSIX::dup($fd) while $fd < 3; $fd } ($from, $out, $err);
    POSIX::dup2($fds[$_], $_) for 0 .. 2;
    POSIX::close($_) for grep { $_ > 2 } @fds;
    if ($code) {
        my $done = eval { $code->() };
        POSIX::write(2, $@, length($@)) if $@;
        POSIX::_exit($done ? 0 : 1);
    }
    # A daemon passes its lock on to what it starts; one that goes on alone would keep the daemon from starting again.
    opendir(my $open, '/proc/self/fd') or POSIX::_exit(127);
    my @others = map { /\A(\d+)\z/ ? $1 : () } readdir($open);
    POSIX::close($_) for grep { $_ > 2 } @others;
    %ENV = (PATH => '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL => 'C.UTF-8', HOME => '/root');
    { no warnings 'exec'; exec { $argv->[0] } @$argv; }
    my $why = "cannot run $argv->[0]: $!\n";
    POSIX::write(2, $why, length($why));
    POSIX::_exit(127);
}

# Waits until the program has ended, at most for `seconds`. Returns whether it has, and its status.
sub ended {
    my ($pid, $seconds) = @_;
    my $until = now() + $seconds;
    while (1) {
        my $got = waitpid($pid, POSIX::WNOHANG());
        return (1, $?) if $got == $pid;
        return (1, undef) if $got == -1;
        return (0, undef) if now() >= $until;
        select(undef, undef, undef, 0.01);
    }
}

# Tells it to end, then kills it. Returns whether it has ended, and its status.
sub stop {
    my ($pid, $patience) = @_;
    kill('TERM', $pid);
    my ($over, $status) = ended($pid, $patience);
    return (1, $status) if $over;
    kill('KILL', $pid);
    return ended($pid, $AFTER_KILL);
}

# Runs thinvol with these arguments, or `code` in a process of its own. Takes
#   limit   seconds it may take
#   late    'stop' (the default): it is told to end then; 'leave': it goes on, and is not waited for
#   patience  seconds between being told to end and being killed
#   input, output  file handles instead of /dev/null and the answer
#   heard   is called with each line of standard error as it comes
# Returns {exit or signal or neither, late, out, err}.
sub run {
    my ($arguments, %how) = @_;
    # No shell reads them; what they may be is checked by those who made them, and by thinvol.
    my @words = map { /\A([^\x00-\x1f\x7f]*)\z/ ? $1 : die "'" . shown($_) . "' has characters that no name has\n" }
        @OPTIONS, @$arguments;
    my $what = join(' ', @$arguments);
    reap();
    pipe(my $out_r, my $out_w) && pipe(my $err_r, my $err_w) or die "cannot make a pipe: $!\n";
    local $SIG{CHLD} = 'DEFAULT';
    my $pid = fork();
    die "cannot start thinvol: $!\n" if !defined($pid);
    if (!$pid) {
        my $out = $how{output} ? fileno($how{output}) : fileno($out_w);
        my $in = $how{input} ? fileno($how{input}) : undef;
        eval { become([$PROGRAM, @words], $how{code}, $in, $out, fileno($err_w)) };
        POSIX::_exit(127);
    }
    close($out_w);
    close($err_w);
    my %text = (out => '', err => '');
    my ($over, $status, $late);
    eval {
        ($over, $status) = listen_to($pid, { out => $out_r, err => $err_r }, \%text, %how);
        if (!$over && ($how{late} // 'stop') eq 'stop') {
            ($over, $status) = stop($pid, $how{patience} // $AFTER_TERM);
            $late = 1;
        }
        $late = 1 if !$over;
    };
    if (my $error = $@) {
        # A signal or a limit of the caller's.
        ($over) = stop($pid, $how{patience} // $AFTER_TERM) if !$over;
        $left{$pid} = $what if !$over;
        die $error;
    }
    $left{$pid} = $what if !$over;
    my %ran = (%text, late => $late);
    if (defined($status)) {
        my $signal = $status & 127;
        $ran{$signal ? 'signal' : 'exit'} = $signal || $status >> 8;
    }
    return \%ran;
}

# Reads what it says until it has ended, at most until its limit. Returns whether it has, and its status.
sub listen_to {
    my ($pid, $from, $text, %how) = @_;
    my $until = now() + $how{limit};
    my $select = IO::Select->new(values %$from);
    my %name = map { ($from->{$_}, $_) } keys %$from;
    my $unheard = '';
    while ($select->count) {
        my $left = $until - now();
        last if $left <= 0;
        my @ready = $select->can_read($left < 0.25 ? $left : 0.25);
        for my $handle (@ready) {
            my $got = sysread($handle, my $bytes, 65536);
            next if !defined($got) && $!{EINTR};
            if (!$got) {
                $select->remove($handle);
                next;
            }
            my $name = $name{$handle};
            $text->{$name} .= $bytes if length($text->{$name}) < $LONGEST;
            if ($name eq 'err' && $how{heard}) {
                $unheard .= $bytes;
                $how{heard}->($1) while $unheard =~ s/^([^\r\n]*)[\r\n]+//;
            }
        }
        # Somebody else may keep its ends of the pipes open.
        next if @ready;
        my ($over, $status) = ended($pid, 0);
        return ($over, $status) if $over;
    }
    my $left = $until - now();
    return ended($pid, $left > 0 ? $left : 0);
}

# What is said of an error: what, why, and what to do.
sub in_words {
    my ($error) = @_;
    my $text = join(': ', map { shown($_) } $error->{message}, texts($error, 'causes'));
    $text .= ' (' . shown($error->{hint}) . ')' if defined($error->{hint}) && length($error->{hint});
    return $text;
}

# What an exit code adds to what was said.
sub consequence {
    my ($code, $text) = @_;
    return $text =~ /again later/ ? ' - nothing was changed' : ' - nothing was changed, try again later' if $code == 4;
    return " - it was done in part, 'thinvol recover' finishes it" if $code == 5 && $text !~ /thinvol recover/;
    return ' - the metadata is damaged, nothing was changed' if $code == 6;
    return '';
}

# The error of a program that ended otherwise than with 0, as {code, text}.
sub failure {
    my ($verb, $ran, %how) = @_;
    my $unknown = "'thinvol recover' finishes what it had begun";
    if ($ran->{late} && ($how{late} // 'stop') eq 'leave') {
        return { code => 4, text => "thinvol $verb takes longer than $how{limit} s and goes on" };
    }
    if ($ran->{late}) {
        my $end = defined($ran->{exit}) || defined($ran->{signal}) ? 'was stopped' : 'does not end';
        return { code => 5, text => "thinvol $verb did not finish within $how{limit} s and $end - $unknown" };
    }
    if (defined($ran->{signal})) {
        return { code => 5, text => "thinvol $verb was ended by signal $ran->{signal} - $unknown" };
    }
    return { code => 5, text => "thinvol $verb: how it ended is not known - $unknown" } if !defined($ran->{exit});
    my $code = $ran->{exit};
    my ($start) = $ran->{err} =~ /^(\{.*)/ms;
    my $document = defined($start) ? decoded($start) : undef;
    if ($document && ref($document->{error}) eq 'HASH') {
        my $error = $document->{error};
        my $text = in_words($error);
        heed($error);
        return { code => $code, text => $text . consequence($code, $text) };
    }
    my ($last) = $ran->{err} =~ /([^\n]*\S[^\n]*)\s*\z/;
    my $said = defined($last) ? ': ' . shown($last) : '';
    return { code => $code, text => "thinvol $verb failed with exit code $code$said" . consequence($code, $said) };
}

# Warnings and what was mended go where warnings go: to the task log, or to the system's.
sub heed {
    my ($document) = @_;
    warn 'thinvol: ' . shown($_) . "\n" for map { texts($document, $_) } qw(recovered warnings);
    return;
}

# Where the answer is: beside a stream it is on standard error, behind the lines of progress.
sub said {
    my ($ran, %how) = @_;
    return $ran->{out} if !$how{output};
    return $ran->{err} =~ /^(\{.*)/ms ? $1 : $ran->{err};
}

# Asks thinvol. Returns its answer, or nothing and {code, text}.
sub ask {
    my ($arguments, %how) = @_;
    my $verb = $arguments->[0];
    my $ran = run(['--json', @$arguments], %how);
    my $error;
    # One that was told to end may have finished first.
    if (!defined($ran->{exit}) || $ran->{exit} != 0) {
        $error = failure($verb, $ran, %how);
    } elsif (my $document = decoded(said($ran, %how))) {
        heed($document) if !$how{silent};
        return $document;
    } else {
        my $said = shown(substr(said($ran, %how), 0, 200));
        $error = { code => 5, text => "thinvol $verb ended well, but its answer is not understood: '$said'" };
    }
    return (undef, $error);
}

# Asks thinvol, and dies with what went wrong.
sub answer {
    my ($document, $error) = ask(@_);
    die "$error->{text}\n" if $error;
    return $document;
}

# What was done, for the task log. Returns the first volume that was made or changed, without storage or group.
sub done {
    my ($document) = @_;
    my $first;
    for my $transaction (rows($document, 'transactions')) {
        heed({ recovered => $transaction->{recovered} });
        for my $done (grep { defined($_->{volume}) } rows($transaction, 'done')) {
            $first = $done->{volume} if !defined($first);
            print STDERR 'thinvol: ' . shown(join(': ', $done->{volume}, $done->{result} // 'done')) . "\n";
        }
    }
    print STDERR 'thinvol: ' . shown($_) . "\n" for texts($document, 'notes');
    return if !defined($first);
    $first =~ m!(?:^|[:/])([A-Za-z0-9+_.][A-Za-z0-9+_.-]*)\z!
        or die "thinvol says '" . shown($first) . "' where a volume was asked for\n";
    return $1;
}

1;
