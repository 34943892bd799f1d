#!/usr/bin/perl -T
# A round of pvestatd: one process for all pools, one for each target, none that is waited for.

use strict;
use warnings;

use Test::More;

use Fake;
use PVE::Storage;

PVE::Storage::load_custom(Fake::plugins());
$0 = 'pvestatd';
my $mib = 1 << 20;
my %pool = (type => 'lvmthin', vgname => 'pve');
$PVE::Storage::CONFIG = {
    a => { %pool, thinpool => 'data' },
    b => { %pool, thinpool => 'data2' },
    gone => { %pool, thinpool => 'gone' },
    san => { type => 'iscsi', portal => '127.0.0.1', target => 'iqn.2025-01.test:a' },
};
Fake::pool($_) for qw(pve-data-tpool pve-data2-tpool pve-gone-tpool);
Fake::session(1, 'iqn.2025-01.test:a', 'LOGGED_IN');

sub round {
    my $heard = Fake::heard(sub { PVE::Storage::storage_info() });
    my $info = $heard->{values}[0];
    my @rows = map { join(' ', $_, map { $_ / $mib } @{ $info->{$_} }{qw(total used avail)}) . " $info->{$_}{active}" }
        sort keys %$info;
    return (join(', ', @rows), join('', @{ $heard->{warnings} }));
}

my $pools = { storages => [
    { storage => 'pve/data', active => JSON::PP::true(), total => 100 * $mib, used => 20 * $mib, available => 80 * $mib },
    { storage => 'pve/data2', active => JSON::PP::true(), total => 50 * $mib, used => 0, available => 50 * $mib },
] };
my $target = { storages => [
    { storage => 'san', active => JSON::PP::true(), total => 64 * $mib, used => 0, available => 0, paths => [{ session => 1 }] },
] };
my @known = (Fake::document('status --pools', $pools), Fake::document('status san', $target));
my $all = 'a 100 20 80 1, b 50 0 50 1, gone 0 0 0 0, san 64 0 0 1';

Fake::rules(@known);
my ($rows, $said) = round();
is($rows, $all, 'what is known');
is($said, '', 'nothing is said');
is_deeply([Fake::calls()], ['--json status --pools', '--json status san'], 'one process for all pools, one for a target');

# Warnings are said once, by the storage they are about.
my $full = { %$pools, warnings => ['pool pve/data: it is full', 'pool other/data: it is full'] };
Fake::rules(Fake::document('status --pools', $full), $known[1]);
is((round())[1], "thinvol: pool pve/data: it is full\n", 'a warning');
is((round())[1], '', 'is said once');
Fake::rules(@known);
is((round())[1], '', 'goes');
Fake::rules(Fake::document('status --pools', $full), $known[1]);
is((round())[1], "thinvol: pool pve/data: it is full\n", 'and is said again when it comes again');

# What does not answer in time: the numbers that were known, and what the kernel shows.
Fake::rules({ when => 'status', sleep => 600 });
($rows, $said) = round();
is($rows, 'a 100 20 80 1, b 50 0 50 1, gone 0 0 0 1, san 64 0 0 1', 'the numbers that were known last');
like($said, qr/storage 'a': thinvol status did not finish within [0-9.]+ s/, 'and it is said');
is_deeply([Fake::calls()], ['--json status --pools', '--json status san'], 'it is not tried twice in a round');
unlink("$Fake::DIR/mapper/pve-data-tpool");
Fake::session(1, 'iqn.2025-01.test:a', 'FAILED');
Fake::rules({ when => 'status|activate', sleep => 600 });
($rows) = round();
like($rows, qr/\Aa 0 0 0 0, b 50 0 50 1, gone 0 0 0 1, san 0 0 0 0\z/, 'what is not there is not active');
Fake::pool('pve-data-tpool');
Fake::session(1, 'iqn.2025-01.test:a', 'LOGGED_IN');

# Bad answers do the same, and the next good one counts.
for my $bad ({ when => '.', out => 'nonsense' }, { when => '.', signal => 'KILL' }, Fake::error('.', 5, 'half of it'),
    Fake::document('.', { storages => 'none' })) {
    Fake::rules($bad);
    my $heard = Fake::heard(sub { (round())[0] });
    like($heard->{values}[0] // $heard->{error}, qr/\Aa (?:100 20 80 1|0 0 0 0), b/, 'a bad answer');
    Fake::rules(@known);
    is((round())[0], $all, 'is forgotten with a good one');
}

# One that hangs and cannot be killed is not joined by another.
Fake::rules({ when => 'status', sleep => 600, deaf => 1 });
round();
{
    no warnings 'redefine';
    local *Thinvol::Proxmox::Program::is_under_way = sub { $_[0] =~ /status/ };
    Fake::rules(@known);
    my ($hung) = round();
    is($hung, 'a 100 20 80 1, b 50 0 50 1, gone 0 0 0 1, san 64 0 0 1', 'as long as one hangs, what was known counts');
    is_deeply([Fake::calls()], [], 'and no other is started');
}
Fake::rules(@known);
is((round())[0], $all, 'then all is as before');

# A path that is missing is tried again, once a minute, and not waited for.
my $half = { storages => [{ %{ $target->{storages}[0] }, paths => [{ session => 1 }, { session => undef }] }] };
Fake::rules($known[0], Fake::document('status san', $half), { when => 'activate san', sleep => 600 });
is((round())[0], $all, 'a path is missing');
is((round())[0], $all, 'still');
my $tries = 0;
for (1 .. 200) {
    $tries = grep { /activate san/ } Fake::calls();
    last if $tries;
    select(undef, undef, undef, 0.05);
}
is($tries, 1, 'one try to log in to it');

# A pool that is not active: its activation goes on when the round does not.
unlink("$Fake::DIR/mapper/pve-data2-tpool");
Fake::rules(@known, { when => 'activate pve/data2', sleep => 600 });
($rows, $said) = round();
like($rows, qr/b 0 0 0 0/, 'a pool that takes long to come up');
like($said, qr/thinvol activate takes longer than 2 s and goes on/, 'is not waited for');
($rows, $said) = round();
like($said, qr/the pool of storage 'b' is still being activated/, 'and not activated twice');
is(scalar(grep { /activate/ } Fake::calls()), 1, 'one process');

done_testing();
