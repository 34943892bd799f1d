package Thinvol::Proxmox::Status;

# What pvestatd asks for every ten seconds, storage after storage: one process for a pass over all of them, never waited
# for longer than two seconds. What is not known in time is what was known last; whether a storage is active is looked
# up then.

use strict;
use warnings;

use Thinvol::Proxmox::Program;

# Seconds that an answer may take, and that the program gets to end after that.
our $LIMIT = 1.7;
my $PATIENCE = 0.2;

# The numbers that were known last: storage => [total, available, used].
my %last;

# Warnings that were said and have not gone since: what they are about => {text => 1}.
my %said;

# Seconds an action of another kind may take: little in the program that asks for the status of all storages.
sub patience {
    my ($else) = @_;
    return $0 =~ /\bpvestatd\b/ ? 2 : $else;
}

# Asks thinvol once in a pass. Returns its answer, or nothing and {code, text}.
sub once {
    my ($cache, @arguments) = @_;
    my $key = join(' ', @arguments);
    my $kept = $cache->{thinvol}{$key};
    if (!$kept) {
        # One that hangs on a dead disk is not joined by another.
        if (Thinvol::Proxmox::Program::is_under_way("--json $key")) {
            $kept = [undef, { code => 4, text => "an earlier 'thinvol $key' has not ended" }];
        } else {
            my %how = (limit => $LIMIT, patience => $PATIENCE, silent => 1);
            $kept = [Thinvol::Proxmox::Program::ask(\@arguments, %how)];
        }
        $cache->{thinvol}{$key} = $kept;
    }
    return @$kept;
}

# Says warnings once, as long as they stay.
sub tell {
    my ($about, @texts) = @_;
    my %now = map { $_ => 1 } @texts;
    warn 'thinvol: ' . Thinvol::Proxmox::Program::shown($_) . "\n" for grep { !$said{$about}{$_} } @texts;
    $said{$about} = \%now;
    return;
}

# What a plugin's `status` returns, from a row of thinvol's answer.
sub known {
    my ($storeid, $row) = @_;
    return (0, 0, 0, 0) if !$row || !$row->{active};
    my @numbers = map { defined($row->{$_}) && $row->{$_} =~ /\A(\d+)\z/ ? $1 + 0 : 0 } qw(total available used);
    $last{$storeid} = \@numbers;
    return (@numbers, 1);
}

# The same where thinvol did not answer.
sub unknown {
    my ($storeid, $is_active) = @_;
    return (@{ $last{$storeid} // [0, 0, 0] }, $is_active ? 1 : 0);
}

1;
