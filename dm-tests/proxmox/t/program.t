#!/usr/bin/perl -T
# How the program is run, and what becomes of good and of bad answers.

use strict;
use warnings;

use Fcntl;
use Test::More;

use Fake;
use Thinvol::Proxmox::Program;

my ($ask, $run) = map { Thinvol::Proxmox::Program->can($_) } qw(ask run);

# What went wrong, in words.
sub trouble {
    my ($rule, %how) = @_;
    Fake::rules($rule);
    my $heard = Fake::heard(sub { $ask->(['free', 'st:vm-100-disk-0'], limit => 20, %how) });
    my ($document, $error) = @{ $heard->{values} };
    return $error ? "$error->{code}: $error->{text}" : 'no error';
}

Fake::rules({ when => '.', show => 1 });
# As daemons keep their lock over a restart.
open(my $lock, '>', "$Fake::DIR/daemon.lock") or die $!;
fcntl($lock, F_SETFD, 0) or die $!;
my ($document) = $ask->(['alloc', 'st', '100', '', '$(touch /tmp/x) `y` "z"'], limit => 20);
is_deeply($document->{argv}, ['--json', 'alloc', 'st', '100', '', '$(touch /tmp/x) `y` "z"'], 'no shell reads the arguments');
is_deeply(
    $document->{env},
    { PATH => '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL => 'C.UTF-8', HOME => '/root' },
    'the environment is its own'
);
is($document->{in}, '/dev/null', 'nobody asks questions');
ok(!(grep { !m!\A(?:pipe:|/dev/null|/proc/|.*/thinvol\z)! } @{ $document->{fds} }), 'no file of the daemon is passed on');

my $odd = eval { $ask->(['free', "st:vm-100-disk-0\nx"], limit => 20); 1 };
ok(!$odd && $@ =~ /characters that no name has/, 'control characters are no part of a name');

is(trouble(Fake::error('.', 1, 'refused it')), '1: refused it', 'a refusal');
is(
    trouble(Fake::error('.', 1, 'refused it', causes => ['one', 'two'], hint => 'do that')),
    '1: refused it: one: two (do that)',
    'causes and hint'
);
is(trouble(Fake::error('.', 3, 'there is no x')), '3: there is no x', 'not found');
is(
    trouble(Fake::error('.', 4, 'x is in use by process 12')),
    '4: x is in use by process 12 - nothing was changed, try again later',
    'busy'
);
is(
    trouble(Fake::error('.', 5, 'half of it')),
    "5: half of it - it was done in part, 'thinvol recover' finishes it",
    'exit 5 without a hint'
);
is(
    trouble(Fake::error('.', 5, 'half of it', hint => "'thinvol recover pve' finishes it")),
    "5: half of it ('thinvol recover pve' finishes it)",
    'exit 5 with a hint'
);
is(trouble(Fake::error('.', 6, 'bad checksum')), '6: bad checksum - the metadata is damaged, nothing was changed', 'damage');
is(trouble(Fake::error('.', 7, 'not supported')), '7: not supported', 'unsupported');
is(
    trouble(Fake::error('.', 1, "a\e]0;x\ab\nc")),
    '1: a?]0;x?b c',
    'nothing that a terminal would obey is passed on'
);
is(trouble(Fake::error('.', 1, "gr\x{f6}\x{df}e")), "1: gr\xc3\xb6\xc3\x9fe", 'words are passed on as bytes');

is(
    trouble({ when => '.', out => 'nonsense' }),
    "5: thinvol free ended well, but its answer is not understood: 'nonsense'",
    'garbage'
);
is(trouble({ when => '.', out => '' }), "5: thinvol free ended well, but its answer is not understood: ''", 'nothing');
is(
    trouble({ when => '.', out => '[1]' }),
    "5: thinvol free ended well, but its answer is not understood: '[1]'",
    'JSON of another form'
);
is(
    trouble({ when => '.', err => "thread panicked\nat x.rs\n", exit => 101 }),
    '101: thinvol free failed with exit code 101: at x.rs',
    'a fault in the program'
);
is(trouble({ when => '.', err => '{"error": "x"}', exit => 1 }), '1: thinvol free failed with exit code 1: {"error": "x"}', 'an error of another form');
is(
    trouble({ when => '.', signal => 'KILL' }),
    "5: thinvol free was ended by signal 9 - 'thinvol recover' finishes what it had begun",
    'killed'
);
is(
    trouble({ when => '.', sleep => 600 }, limit => 0.3),
    "5: thinvol free did not finish within 0.3 s and was stopped - 'thinvol recover' finishes what it had begun",
    'too late'
);
is(
    trouble({ when => '.', sleep => 600, deaf => 1 }, limit => 0.3, patience => 0.3),
    "5: thinvol free did not finish within 0.3 s and was stopped - 'thinvol recover' finishes what it had begun",
    'too late, and deaf'
);
{
    local $Thinvol::Proxmox::Program::PROGRAM = '/nonexistent/thinvol';
    like(trouble({ when => '.' }), qr!\A127: thinvol free failed with exit code 127: cannot run /nonexistent/thinvol: No such file!, 'not installed');
}
is(trouble({ when => '.', out => '{}', hold => 600 }), 'no error', 'who keeps the pipes is not waited for');

# One that is left behind goes on, is known, and is forgotten when it has ended.
is(
    trouble({ when => '.', sleep => 600 }, limit => 0.3, late => 'leave'),
    '4: thinvol free takes longer than 0.3 s and goes on',
    'one that is left to go on'
);
my $what = '--json free st:vm-100-disk-0';
ok(Thinvol::Proxmox::Program::is_under_way($what), 'it is under way');
open(my $file, '<', "$Fake::DIR/pid") or die $!;
my ($pid) = <$file> =~ /(\d+)/;
kill('KILL', $pid);
select(undef, undef, undef, 0.02) while -d "/proc/$pid" && Thinvol::Proxmox::Program::is_under_way($what);
ok(!Thinvol::Proxmox::Program::is_under_way($what), 'and is forgotten when it has ended');

# A caller's own limit ends it, too.
Fake::rules({ when => '.', sleep => 600 });
eval {
    local $SIG{ALRM} = sub { die "caller's limit\n" };
    alarm(1);
    $ask->(['free', 'st:vm-100-disk-0'], limit => 500, patience => 1);
};
alarm(0);
is($@, "caller's limit\n", "a caller's limit is passed on");
open($file, '<', "$Fake::DIR/pid") or die $!;
($pid) = <$file> =~ /(\d+)/;
ok(!kill(0, $pid), 'and the program is ended');

# Daemons may not want to hear of children.
{
    local $SIG{CHLD} = 'IGNORE';
    is(trouble(Fake::error('.', 1, 'refused it')), '1: refused it', 'children are waited for whatever the daemon does');
}

# Lines come as they are said.
Fake::rules({ when => '.', err => "one\rtwo\nthree\n", out => '{}' });
my @lines;
$run->(['export'], limit => 20, heard => sub { push @lines, $_[0] });
is_deeply(\@lines, ['one', 'two', 'three'], 'progress is heard');

Fake::rules(Fake::document('.', { warnings => ["pool pve/data is full"], transactions => [{ recovered => ['a message'], done => [{ volume => 'st:vm-100-disk-0', result => 'removed' }] }], notes => ['it is so'] }));
my $heard = Fake::heard(sub { Thinvol::Proxmox::Program::done($ask->(['free', 'x'], limit => 20)) });
is_deeply($heard->{warnings}, ["thinvol: pool pve/data is full\n", "thinvol: a message\n"], 'warnings are warnings');
is($heard->{printed}, "thinvol: st:vm-100-disk-0: removed\nthinvol: it is so\n", 'what was done is in the log of the task');
is_deeply($heard->{values}, ['vm-100-disk-0'], 'the name is taken from the answer');
Fake::rules(Fake::changed('.', "st:vm-100-disk-0;reboot"));
$heard = Fake::heard(sub { Thinvol::Proxmox::Program::done($ask->(['free', 'x'], limit => 20)) });
like($heard->{error}, qr/where a volume was asked for/, 'a volume name that is not valid is refused');

done_testing();
