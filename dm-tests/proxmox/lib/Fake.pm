package Fake;

# Puts a thinvol that does as told in the place of the real one, and the plugins into stand-ins of what loads them.

use strict;
use warnings;

use Cwd ();
use File::Copy ();
use File::Temp ();
use JSON::PP ();
use Test::More ();

use Thinvol::Proxmox::Kernel;
use Thinvol::Proxmox::Program;
use Thinvol::Proxmox::Switches;

# Gone with the test.
our $TEMPORARY = File::Temp->newdir("thinvol-fake-XXXXXX", TMPDIR => 1);
our ($DIR) = "$TEMPORARY" =~ m!\A(.*)\z!;
my ($here) = Cwd::abs_path(__FILE__) =~ m!\A(.*)/lib/Fake\.pm\z!;

File::Copy::copy("$here/fake-thinvol", "$DIR/thinvol") or die "fake-thinvol: $!";
chmod(0755, "$DIR/thinvol");
mkdir("$DIR/mapper");
mkdir("$DIR/sys");
$Thinvol::Proxmox::Program::PROGRAM = "$DIR/thinvol";
$Thinvol::Proxmox::Switches::FILE = "$DIR/proxmox.conf";
$Thinvol::Proxmox::Kernel::MAPPER = "$DIR/mapper";
$Thinvol::Proxmox::Kernel::SYSFS = "$DIR/sys";

sub put {
    my ($name, $text) = @_;
    my $path = "$DIR/$name";
    my @folders = split(m!/!, $name);
    pop(@folders);
    my $folder = $DIR;
    for (@folders) {
        $folder .= "/$_";
        mkdir($folder);
    }
    open(my $file, '>', $path) or die "$path: $!";
    print $file $text;
    close($file);
    return;
}

# What it answers from now on.
sub rules {
    put('rules', JSON::PP::encode_json([@_]));
    unlink("$DIR/calls");
    return;
}

# A rule by which a document is answered.
sub document {
    my ($when, $document, %more) = @_;
    return { when => $when, out => JSON::PP::encode_json({ json_version => 1, %$document }), %more };
}

# A rule by which an error is answered.
sub error {
    my ($when, $code, $message, %more) = @_;
    my %error = (message => $message, causes => [], hint => undef, code => $code, %more);
    return { when => $when, err => JSON::PP::encode_json({ json_version => 1, error => \%error }), exit => $code };
}

# A document that tells of one change.
sub changed {
    my ($when, $volume, $what) = @_;
    my $done = { display_name => 'it', volume => $volume, path => "/dev/$volume", result => $what // 'done' };
    return document($when, { executed => JSON::PP::true(), transactions => [{ vg => 'pve', done => [$done] }], notes => [] });
}

# The calls since the rules were given.
sub calls {
    open(my $file, '<', "$DIR/calls") or return ();
    chomp(my @calls = <$file>);
    return @calls;
}

# Makes the device of a pool, or a session.
sub pool { return put("mapper/$_[0]", '') }

sub session {
    my ($number, $target, $state) = @_;
    put("sys/class/iscsi_session/session$number/targetname", "$target\n");
    put("sys/class/iscsi_session/session$number/state", "$state\n");
    return;
}

# What code says with `warn`, what it prints to standard error, what it returns, and what it dies with.
sub heard {
    my ($code) = @_;
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, $_[0] };
    open(my $kept, '>&', \*STDERR) or die "stderr: $!";
    open(STDERR, '>', "$DIR/stderr") or die "stderr: $!";
    my @values = eval { $code->() };
    my $error = $@;
    open(STDERR, '>&', $kept) or die "stderr: $!";
    open(my $file, '<', "$DIR/stderr") or die "stderr: $!";
    local $/;
    my $printed = <$file>;
    return { values => \@values, warnings => \@warnings, printed => $printed // '', error => $error };
}

# One call of a function of the host, by these rules: its result or its error, and the calls of thinvol if they are given.
sub call {
    my ($name, $function, $arguments, $rules, $wanted, $calls) = @_;
    rules(@$rules);
    my $heard = heard(sub { scalar PVE::Storage->can($function)->(@$arguments) });
    if (ref($wanted) eq 'Regexp') {
        Test::More::like($heard->{error}, $wanted, "$name: refused");
    } else {
        Test::More::is($heard->{error}, '', "$name: no error");
        Test::More::is_deeply($heard->{values}[0], $wanted, $name);
    }
    Test::More::is_deeply([calls()], $calls, "$name: calls") if $calls;
    return $heard;
}

# What was left to go on ends with the test.
END {
    my @left = grep { (readlink("/proc/$_/exe") // '') =~ /perl/ && command($_) =~ /\Q$DIR\E/ }
        map { m!/(\d+)\z! ? $1 : () } glob('/proc/[0-9]*');
    my $status = $?;
    kill('KILL', @left) if @left;
    $? = $status;
}

sub command {
    my ($pid) = @_;
    open(my $file, '<', "/proc/$pid/cmdline") or return '';
    return scalar(<$file>) // '';
}

# The folder with the plugins.
sub plugins {
    my ($folder) = $INC{'Thinvol/Proxmox/Program.pm'} =~ m!\A(.*)/Thinvol/!;
    return "$folder/PVE/Storage/Custom";
}

1;
