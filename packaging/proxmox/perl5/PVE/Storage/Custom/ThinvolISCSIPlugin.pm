package PVE::Storage::Custom::ThinvolISCSIPlugin;

# Storages of type iscsi, served by thinvol. Names, properties and answers are those of Proxmox VE's own plugin; what is
# not here is inherited from it.

use strict;
use warnings;

use PVE::Storage::ISCSIPlugin;

use Thinvol::Proxmox::Kernel;
use Thinvol::Proxmox::Program;
use Thinvol::Proxmox::Status;
use Thinvol::Proxmox::Takeover;

use base qw(Thinvol::Proxmox::BlockDevices PVE::Storage::ISCSIPlugin);

my $STOCK = 'PVE::Storage::ISCSIPlugin';

# Seconds between two looks for new LUNs, and between two tries to log in at portals that are missing.
my $RESCAN_EVERY = 10;
my $RETRY_EVERY = 60;

# When that was done last: "<what> <storage>" => time.
my %last;

# Seconds that logging in to a target may take where somebody waits for the storage.
my $LOGIN = 35;

sub api {
    return Thinvol::Proxmox::Takeover::api();
}

sub register {
    my ($class) = @_;
    return Thinvol::Proxmox::Takeover::take_over($class, $STOCK);
}

# Whether something may be done again, and remembers that it is.
sub is_due {
    my ($what, $seconds) = @_;
    my $now = Thinvol::Proxmox::Program::now();
    return 0 if defined($last{$what}) && $now - $last{$what} < $seconds;
    $last{$what} = $now;
    return 1;
}

# Names

sub parse_volname {
    my ($class, $volname) = @_;
    $volname =~ m!\A\d+\.\d+\.\d+\.([^/\s]+)\z! or die "unable to parse iscsi volume name '$volname'\n";
    return ('images', $1, undef, undef, undef, undef, 'raw');
}

sub filesystem_path {
    my ($class, $scfg, $volname, $snap) = @_;
    die "snapshot is not possible on iscsi storage\n" if defined($snap);
    my ($vtype, $name, $vmid) = $class->parse_volname($volname);
    my $path = "/dev/disk/by-id/$name";
    return wantarray ? ($path, $vmid, $vtype) : $path;
}

sub qemu_blockdev_options {
    my ($class, $scfg, $storeid, $volname, $machine_version, $options) = @_;
    my $path = $class->filesystem_path($scfg, $volname, $options->{'snapshot-name'});
    -b $path or die "volume '$storeid:$volname' is not there: there is no block device '$path'\n";
    return { driver => 'host_device', filename => $path };
}

sub volume_has_feature {
    my ($class, $scfg, $feature, $storeid, $volname, $snap, $running, $options) = @_;
    return $feature eq 'copy' && !defined($snap) ? 1 : undef;
}

# The storage

# A storage that has a session is online, whatever its portal says now. Whether the portal is there is asked of it
# outside: a name may take long to be looked up.
sub check_connection {
    my ($class, $storeid, $scfg) = @_;
    return 1 if Thinvol::Proxmox::Kernel::is_logged_in($scfg->{target});
    my ($host, $port) = host_and_port($scfg->{portal});
    my $connect = sub {
        require IO::Socket::IP;
        return defined IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 2);
    };
    my %how = (code => $connect, limit => $Thinvol::Proxmox::Status::LIMIT, patience => 0.1);
    my $ran = Thinvol::Proxmox::Program::run(["connect to $storeid"], %how);
    return defined($ran->{exit}) && $ran->{exit} == 0 ? 1 : 0;
}

sub host_and_port {
    my ($portal) = @_;
    return ($1, $2 // 3260) if $portal =~ /\A\[([^\]]+)\](?::(\d+))?\z/;
    return ($1, $2) if $portal =~ /\A([^:]+):(\d+)\z/;
    return ($1, 3260) if $portal =~ /\A(\S+)\z/;
    die "unable to parse portal '$portal'\n";
}

# Logs in, or dies with the reason. A storage that is only being added is not in the configuration yet: it is logged in
# to at its own portal, and at the target's other portals by the next round of pvestatd.
sub log_in {
    my ($storeid, $scfg) = @_;
    my @arguments = ('activate', $storeid);
    if (Thinvol::Proxmox::Program::is_under_way(join(' ', '--json', @arguments))) {
        die "storage '$storeid' is still being logged in to\n";
    }
    my %how = (limit => Thinvol::Proxmox::Status::patience($LOGIN), late => 'leave');
    my ($document, $error) = Thinvol::Proxmox::Program::ask(\@arguments, %how);
    if ($error && $error->{code} == 3) {
        @arguments = ('iscsi', 'login', '--portal', $scfg->{portal}, '--target', $scfg->{target});
        ($document, $error) = Thinvol::Proxmox::Program::ask(\@arguments, %how);
    }
    die "$error->{text}\n" if $error;
    return;
}

sub activate_storage {
    my ($class, $storeid, $scfg, $cache) = @_;
    return log_in($storeid, $scfg) if !Thinvol::Proxmox::Kernel::is_logged_in($scfg->{target});
    # pvestatd only asks how full storages are: it does not look for new LUNs.
    return if Thinvol::Proxmox::Status::patience(0) || !is_due("rescan $storeid", $RESCAN_EVERY);
    my ($document, $error) =
        Thinvol::Proxmox::Program::ask(['iscsi', 'rescan', '--target', $scfg->{target}, '--timeout', '2'], limit => 4);
    warn "storage '$storeid': $error->{text}\n" if $error;
    return;
}

sub deactivate_storage {
    my ($class, $storeid, $scfg, $cache) = @_;
    return if !Thinvol::Proxmox::Kernel::sessions($scfg->{target});
    Thinvol::Proxmox::Program::answer(['deactivate', $storeid], limit => $LOGIN);
    return;
}

# Portals of the target that have no session are tried again now and then; nobody waits for that.
sub retry {
    my ($storeid, $row) = @_;
    my @down = grep { !defined($_->{session}) } Thinvol::Proxmox::Program::rows($row, 'paths');
    return if !@down || !is_due("retry $storeid", $RETRY_EVERY);
    return if Thinvol::Proxmox::Program::is_under_way("--json activate $storeid");
    Thinvol::Proxmox::Program::run(['--json', 'activate', $storeid], limit => 0, late => 'leave');
    return;
}

sub status {
    my ($class, $storeid, $scfg, $cache) = @_;
    my ($document, $error) = Thinvol::Proxmox::Status::once($cache // {}, 'status', $storeid);
    if ($error) {
        # One that is only being added is not known yet, and nothing is wrong with it.
        my @texts = $error->{code} == 3 ? () : ("storage '$storeid': $error->{text}");
        Thinvol::Proxmox::Status::tell("status of $storeid", @texts);
        return Thinvol::Proxmox::Status::unknown($storeid, Thinvol::Proxmox::Kernel::is_logged_in($scfg->{target}));
    }
    my ($row) = grep { ($_->{storage} // '') eq $storeid } Thinvol::Proxmox::Program::rows($document, 'storages');
    Thinvol::Proxmox::Status::tell("status of $storeid", Thinvol::Proxmox::Program::texts($document, 'warnings'));
    retry($storeid, $row) if $row;
    return Thinvol::Proxmox::Status::known($storeid, $row);
}

sub list_images {
    my ($class, $storeid, $scfg, $vmid, $vollist, $cache) = @_;
    # LUNs have no owner.
    return [] if defined($vmid) && !$vollist;
    return [] if !Thinvol::Proxmox::Kernel::sessions($scfg->{target});
    my ($document, $error) = Thinvol::Proxmox::Status::once($cache // {}, 'list', $storeid);
    die "$error->{text}\n" if $error;
    my %wanted = map { $_ => 1 } @{ $vollist // [] };
    my @images;
    for my $row (Thinvol::Proxmox::Program::rows($document, 'volumes')) {
        my ($name) = ($row->{volume} // '') =~ m!\A\Q$storeid\E:(\d+\.\d+\.\d+\.[^/\s]+)\z! or next;
        my $volid = "$storeid:$name";
        next if $vollist && !$wanted{$volid};
        push @images, { volid => $volid, format => 'raw', size => int($row->{size}), vmid => 0 };
    }
    return \@images;
}

sub list_volumes {
    my ($class, $storeid, $scfg, $vmid, $content_types) = @_;
    return [map { +{ %$_, content => 'images' } } @{ $class->list_images($storeid, $scfg, $vmid) }];
}

# LUNs

sub activate_volume {
    my ($class, $storeid, $scfg, $volname, $snap, $cache, $hints) = @_;
    die "snapshot is not possible on iscsi storage\n" if defined($snap);
    Thinvol::Proxmox::Program::answer(['activate', "$storeid:$volname"], limit => $LOGIN);
    return 1;
}

sub deactivate_volume {
    return 1;
}

sub volume_size_info {
    my ($class, $scfg, $storeid, $volname, $timeout) = @_;
    my $path = $class->filesystem_path($scfg, $volname);
    my $size = Thinvol::Proxmox::Kernel::size_of($path);
    die "volume '$storeid:$volname' is not there: there is no block device '$path'\n" if !defined($size);
    return wantarray ? ($size, 'raw', 0, undef) : $size;
}

# What nobody can do with the LUNs of somebody else.
my %REFUSALS = (
    alloc_image => [0, "can't allocate space in iscsi storage"],
    free_image => [0, "can't free space in iscsi storage"],
    create_base => [0, "can't create base images in iscsi storage"],
    clone_image => [1, "can't clone images in iscsi storage"],
    rename_volume => [1, "volume rename is not possible on iscsi storage"],
    volume_resize => [1, 'volume resize is not possible on iscsi device'],
    volume_snapshot => [1, 'snapshot is not possible on iscsi storage'],
    volume_snapshot_delete => [1, 'snapshot is not possible on iscsi storage'],
    volume_snapshot_rollback => [1, 'snapshot is not possible on iscsi storage'],
    volume_rollback_is_possible => [1, 'snapshot is not possible on iscsi storage'],
);

sub refusal {
    my ($place, $words) = @_;
    return [$place, sub { die "$words\n" }];
}

# What Proxmox VE's own plugin does for a storage that is switched off. The number is the place of the storage's id.
Thinvol::Proxmox::Takeover::methods(
    __PACKAGE__, $STOCK,
    (map { $_ => refusal(@{ $REFUSALS{$_} }) } keys %REFUSALS),
    (map { $_ => [0, __PACKAGE__->can($_)] } qw(
        activate_storage activate_volume check_connection deactivate_storage deactivate_volume list_images list_volumes
        map_volume status unmap_volume
    )),
    (map { $_ => [1, __PACKAGE__->can($_)] } qw(get_formats qemu_blockdev_options volume_size_info)),
    (map { $_ => [2, __PACKAGE__->can($_)] } qw(path volume_has_feature)),
);

1;
