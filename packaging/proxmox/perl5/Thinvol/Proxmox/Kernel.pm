package Thinvol::Proxmox::Kernel;

# What can be seen of the kernel without asking anybody, and so without waiting: whether a pool's device is there, and
# which sessions a target has.

use strict;
use warnings;

our $MAPPER = '/dev/mapper';
our $SYSFS = '/sys';

# Whether the device of a thin pool is there. LVM doubles hyphens in its names; a pool that has had volumes lies below
# a layer of its own.
sub has_pool {
    my ($vg, $pool) = @_;
    my $name = join('-', map { s/-/--/gr } $vg, $pool);
    return -e "$MAPPER/$name-tpool" || -e "$MAPPER/$name";
}

sub first_line {
    my ($path) = @_;
    open(my $file, '<', $path) or return '';
    my $line = <$file>;
    return '' if !defined($line);
    chomp($line);
    return $line;
}

# The states of a target's sessions, one for each.
sub sessions {
    my ($target) = @_;
    my $class = "$SYSFS/class/iscsi_session";
    opendir(my $folder, $class) or return ();
    my @sessions = grep { /\Asession\d+\z/ && first_line("$class/$_/targetname") eq $target } readdir($folder);
    return map { first_line("$class/$_/state") } @sessions;
}

# Whether a session of a target is up.
sub is_logged_in {
    my ($target) = @_;
    return scalar grep { $_ eq 'LOGGED_IN' } sessions($target);
}

# The size of a block device in bytes, undef if it is none.
sub size_of {
    my ($path) = @_;
    my @stat = stat($path) or return;
    return if !-b _;
    # As the C library packs them (sys/sysmacros.h).
    my $major = ($stat[6] >> 8) & 0xfff | ($stat[6] >> 32) & ~0xfff;
    my $minor = $stat[6] & 0xff | ($stat[6] >> 12) & 0xffffff00;
    my $sectors = first_line("$SYSFS/dev/block/$major:$minor/size");
    return $sectors =~ /\A(\d+)\z/ ? $1 * 512 : undef;
}

1;
