#!/usr/bin/perl -T
# Which storages thinvol serves.

use strict;
use warnings;

use Test::More;

use Fake;
use Thinvol::Proxmox::Switches;

my $is_on = Thinvol::Proxmox::Switches->can('is_on');
my $may_be_on = Thinvol::Proxmox::Switches->can('may_be_on');

# What is on: lvmthin at all, a storage of it, another, iscsi at all, a storage of it.
sub switches {
    my ($text) = @_;
    unlink($Thinvol::Proxmox::Switches::FILE);
    Fake::put('proxmox.conf', $text) if defined($text);
    # A file changed within the granularity of its times is another by its size.
    my @on = map { $is_on->(@$_) ? 1 : 0 } ['lvmthin'], ['lvmthin', 'a'], ['lvmthin', 'b'], ['iscsi'], ['iscsi', 's'];
    return join('', @on, map { $may_be_on->($_) ? '+' : '-' } qw(lvmthin iscsi));
}

is(switches(undef), '11111++', 'without a file all are');
is(switches(''), '11111++', 'an empty file says nothing');
is(switches("# all of it off\n\ndefault off # here, too\n"), '00000--', 'all off');
is(switches("type iscsi off\n"), '11100+-', 'one type off');
is(switches("storage a off\n"), '10111++', 'one storage off');
is(switches("default off\nstorage  a   on\n"), '01000++', 'one storage on');
is(switches("default off\ntype lvmthin on\nstorage b off\n"), '11000+-', 'the most particular one counts');

for my $text ("default maybe\n", "x\n", "type zfs off\n", "storage off\n", "default off\nstorage a b on\n") {
    my $heard = Fake::heard(sub { switches($text) });
    is($heard->{values}[0], '00000--', 'a line that is not understood: stock goes on');
    my ($words, @more) = @{ $heard->{warnings} };
    like($words, qr/proxmox\.conf: line \d is not understood; Proxmox VE's own plugins serve all storages/, 'it is said');
    is(scalar @more, 0, 'once');
}

done_testing();
