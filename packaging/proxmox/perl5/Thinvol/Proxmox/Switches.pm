package Thinvol::Proxmox::Switches;

# /etc/thinvol/proxmox.conf: which storages thinvol serves. Each line is one of
#   default on|off
#   type lvmthin|iscsi on|off
#   storage <id> on|off
# and the most particular one counts. Without the file thinvol serves all storages of its types.

use strict;
use warnings;

our $FILE = '/etc/thinvol/proxmox.conf';

# What the file said, and which file that was.
my ($read, $stamp) = ({}, '');

# The switches in a text. Dies if a line of it is none.
sub parse {
    my ($text) = @_;
    my %switches;
    my $number = 0;
    for my $line (split(/\n/, $text)) {
        $number++;
        $line =~ s/#.*//;
        next if $line !~ /\S/;
        $line =~ /\A\s*(default|type\s+(?:lvmthin|iscsi)|storage\s+[A-Za-z][A-Za-z0-9_.-]*)\s+(on|off)\s*\z/
            or die "line $number is not understood\n";
        my ($what, $on) = ($1, $2 eq 'on');
        $what =~ s/\s+/ /;
        $switches{$what} = $on;
    }
    return \%switches;
}

# The switches as they are now. A file that cannot be read or understood switches thinvol off: Proxmox VE's own plugins
# do the work then, on the same volumes.
sub current {
    my @stat = stat($FILE);
    my $now = @stat ? join(':', @stat[0, 1, 7, 9, 10]) : $!{ENOENT} ? 'none' : "error $!";
    return $read if $now eq $stamp;
    $stamp = $now;
    return $read = {} if $now eq 'none';
    $read = eval {
        open(my $file, '<', $FILE) or die "$!\n";
        local $/;
        my $text = <$file>;
        parse(defined($text) ? $text : '');
    };
    return $read if $read;
    my $why = $@;
    chomp($why);
    warn "thinvol: $FILE: $why; Proxmox VE's own plugins serve all storages\n";
    return $read = { default => 0, broken => 1 };
}

# Whether thinvol serves the storages of a type, or one of them.
sub is_on {
    my ($type, $storeid) = @_;
    my $switches = current();
    return 0 if $switches->{broken};
    for my $what (defined($storeid) ? "storage $storeid" : (), "type $type", 'default') {
        return $switches->{$what} if defined($switches->{$what});
    }
    return 1;
}

# Whether any storage of a type may be one of thinvol's.
sub may_be_on {
    my ($type) = @_;
    return 1 if is_on($type);
    my $switches = current();
    return !$switches->{broken} && scalar grep { /^storage / && $switches->{$_} } keys %$switches;
}

1;
