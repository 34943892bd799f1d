package Replay;

# Plays a table of calls of Proxmox VE's against the real thinvol. Test::More says how it went.

use strict;
use warnings;

use Test::More;

use PVE::Storage;
use Thinvol::Proxmox::Program;

# Loads the plugins over this program and configuration; returns the other arguments.
sub start {
    my ($program, $file, @rest) = map { m!\A([A-Za-z0-9/_.:+-]+)\z! ? $1 : die "'$_' is odd\n" } @_;
    %ENV = (PATH => '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL => 'C.UTF-8', HOME => '/root');
    $Thinvol::Proxmox::Program::PROGRAM = $program;
    @Thinvol::Proxmox::Program::OPTIONS = ('--config', $file);
    my ($folder) = $INC{'Thinvol/Proxmox/Program.pm'} =~ m!\A([A-Za-z0-9/_.+-]+)/Thinvol/!;
    PVE::Storage::load_custom("$folder/PVE/Storage/Custom");
    is_deeply(\@PVE::Storage::COMPLAINTS, [], 'the plugins are loaded without complaint');
    return @rest;
}

# What a command prints; it has to succeed.
sub command {
    my @argv = @_;
    open(my $out, '-|', @argv) or die "$argv[0]: $!\n";
    local $/;
    my $text = <$out> // '';
    close($out) or die "@argv: status " . ($? >> 8) . "\n";
    return $text;
}

# A round of pvestatd, in words.
sub round {
    my $info = PVE::Storage::storage_info();
    return join(' ', map {
        my $row = $info->{$_};
        ($_, $row->{active} ? 'active' : 'inactive', "total=$row->{total}", "used=$row->{used}")
    } sort keys %$info);
}

# Makes the calls, [what it is, function, arguments, result, warning]: the result is a value, a pattern for a text, or
# {dies => pattern}; the warning is a pattern, and without it nothing may be warned of. What is no call says what the next
# ones are about.
sub table {
    my $part = '';
    for my $row (@_) {
        if (!ref($row)) {
            $part = $row;
            next;
        }
        my ($what, $function, $arguments, $wanted, $warning) = @$row;
        my $name = "$part: $what";
        my $code = do { no strict 'refs'; \&{ $function =~ /::/ ? $function : "main::$function" } };
        my @warnings;
        local $SIG{__WARN__} = sub { push @warnings, @_ };
        my $got = eval { scalar $code->(@$arguments) };
        my $error = $@;
        if (ref($wanted) eq 'HASH') {
            like($error, $wanted->{dies}, $name);
            is(scalar($error =~ tr/\n//), 1, "$name: in one line");
        } else {
            is($error, '', "$name: no error");
            ref($wanted) eq 'Regexp' ? like($got, $wanted, $name) : is_deeply($got, $wanted, $name);
        }
        if ($warning) {
            like(join('', @warnings), $warning, "$name: a warning");
        } else {
            is_deeply(\@warnings, [], "$name: no warnings");
        }
    }
    return;
}

1;
