package PVE::Storage::Custom::ThinvolLvmThinPlugin;

# Storages of type lvmthin, served by thinvol. Names, properties and answers are those of Proxmox VE's own plugin; what
# is not here is inherited from it.

use strict;
use warnings;

use PVE::Storage::LvmThinPlugin;

use Thinvol::Proxmox::Kernel;
use Thinvol::Proxmox::Program;
use Thinvol::Proxmox::Status;
use Thinvol::Proxmox::Takeover;

use base qw(Thinvol::Proxmox::BlockDevices PVE::Storage::LvmThinPlugin);

my $STOCK = 'PVE::Storage::LvmThinPlugin';

# Seconds for a change, and for one that may have much to do in the pool. A change that takes longer is told to end; it
# finishes what it has begun.
my %CHANGE = (limit => 300);
my %LONG_CHANGE = (limit => 3600);

# A guest stands still while its snapshot is taken: who holds the lock must not hold the guest, too.
my @SOON = ('--lock-timeout', '10');

sub api {
    return Thinvol::Proxmox::Takeover::api();
}

sub register {
    my ($class) = @_;
    return Thinvol::Proxmox::Takeover::take_over($class, $STOCK);
}

sub pool {
    my ($scfg) = @_;
    return "$scfg->{vgname}/$scfg->{thinpool}";
}

# How thinvol calls a volume or a snapshot.
sub address {
    my ($storeid, $volname, $snap) = @_;
    return defined($snap) ? "$storeid:$volname\@$snap" : "$storeid:$volname";
}

# Changes something; returns the name of the volume that was made or changed.
sub change {
    my ($how, @arguments) = @_;
    return Thinvol::Proxmox::Program::done(Thinvol::Proxmox::Program::answer(\@arguments, %$how));
}

# Names

sub parse_volname {
    my ($class, $volname) = @_;
    PVE::Storage::Plugin::parse_lvm_name($volname);
    $volname =~ /\A((vm|base)-(\d+)-\S+)\z/ or die "unable to parse lvm volume name '$volname'\n";
    return ('images', $1, $3, undef, undef, $2 eq 'base', 'raw');
}

sub filesystem_path {
    my ($class, $scfg, $volname, $snap) = @_;
    my ($vtype, $name, $vmid) = $class->parse_volname($volname);
    my $lv = defined($snap) ? "snap_${name}_$snap" : $name;
    my $path = "/dev/$scfg->{vgname}/$lv";
    return wantarray ? ($path, $vmid, $vtype) : $path;
}

sub qemu_blockdev_options {
    my ($class, $scfg, $storeid, $volname, $machine_version, $options) = @_;
    my $path = $class->filesystem_path($scfg, $volname, $options->{'snapshot-name'});
    -b $path or die "volume '$storeid:$volname' is not active: there is no block device '$path'\n";
    return { driver => 'host_device', filename => $path };
}

sub volume_qemu_snapshot_method {
    return 'storage';
}

sub volume_snapshot_needs_fsfreeze {
    return 0;
}

sub storage_can_replicate {
    return 0;
}

my %FEATURES = (
    snapshot => { current => 1 },
    clone => { base => 1, snap => 1 },
    template => { current => 1 },
    copy => { base => 1, current => 1, snap => 1 },
    sparseinit => { base => 1, current => 1 },
    rename => { current => 1 },
);

sub volume_has_feature {
    my ($class, $scfg, $feature, $storeid, $volname, $snap, $running, $options) = @_;
    my $is_base = ($class->parse_volname($volname))[5];
    my $what = defined($snap) ? 'snap' : $is_base ? 'base' : 'current';
    return $FEATURES{$feature} && $FEATURES{$feature}{$what} ? 1 : undef;
}

# The storage

sub check_connection {
    return 1;
}

sub activate_storage {
    my ($class, $storeid, $scfg, $cache) = @_;
    return if Thinvol::Proxmox::Kernel::has_pool($scfg->{vgname}, $scfg->{thinpool});
    my @arguments = ('activate', pool($scfg));
    if (Thinvol::Proxmox::Program::is_under_way(join(' ', '--json', @arguments))) {
        die "the pool of storage '$storeid' is still being activated\n";
    }
    # A check of the pool's metadata may take minutes, and is not to be broken off.
    change({ limit => Thinvol::Proxmox::Status::patience(600), late => 'leave' }, @arguments);
    return;
}

sub deactivate_storage {
    my ($class, $storeid, $scfg, $cache) = @_;
    change({%CHANGE}, 'deactivate', $scfg->{vgname});
    return;
}

sub status {
    my ($class, $storeid, $scfg, $cache) = @_;
    my ($document, $error) = Thinvol::Proxmox::Status::once($cache // {}, 'status', '--pools');
    if ($error) {
        Thinvol::Proxmox::Status::tell("status of $storeid", "storage '$storeid': $error->{text}");
        my $is_active = Thinvol::Proxmox::Kernel::has_pool($scfg->{vgname}, $scfg->{thinpool});
        return Thinvol::Proxmox::Status::unknown($storeid, $is_active);
    }
    my $pool = pool($scfg);
    my ($row) = grep { ($_->{storage} // '') eq $pool } Thinvol::Proxmox::Program::rows($document, 'storages');
    my $is_named = qr/(?<![A-Za-z0-9+_.-])\Q$pool\E(?![A-Za-z0-9+_-]|\.[A-Za-z0-9])/;
    my @about = grep { /$is_named/ } Thinvol::Proxmox::Program::texts($document, 'warnings');
    Thinvol::Proxmox::Status::tell("status of $storeid", @about);
    return Thinvol::Proxmox::Status::known($storeid, $row);
}

# The guests' volumes of a storage: thinvol's rows.
sub volumes {
    my ($storeid, $cache, @options) = @_;
    my ($document, $error) = Thinvol::Proxmox::Status::once($cache, 'list', $storeid, @options);
    die "$error->{text}\n" if $error;
    return Thinvol::Proxmox::Program::rows($document, 'volumes');
}

sub list_images {
    my ($class, $storeid, $scfg, $vmid, $vollist, $cache) = @_;
    my %wanted = map { $_ => 1 } @{ $vollist // [] };
    my @images;
    for my $row (volumes($storeid, $cache // {})) {
        my ($name, $owner) = ($row->{volume} // '') =~ /\A\Q$storeid\E:((?:vm|base)-(\d+)-[A-Za-z0-9+_.-]+)\z/
            or next;
        my $volid = "$storeid:$name";
        next if $vollist ? !$wanted{$volid} : defined($vmid) && $owner ne $vmid;
        my $image = { volid => $volid, format => 'raw', size => int($row->{size}), vmid => $owner };
        $image->{ctime} = int($row->{created}) if defined($row->{created});
        $image->{used} = int($row->{mapped}) if defined($row->{mapped});
        push @images, $image;
    }
    return \@images;
}

# Volumes

sub alloc_image {
    my ($class, $storeid, $scfg, $vmid, $format, $name, $size) = @_;
    die "unsupported format '$format'\n" if $format ne 'raw';
    $name = '' if !defined($name);
    die "illegal name '$name' - should be 'vm-$vmid-*'\n" if length($name) && $name !~ /\Avm-\Q$vmid\E-/;
    return change({%CHANGE}, 'alloc', $storeid, $vmid, $name, "${size}K");
}

sub free_image {
    my ($class, $storeid, $scfg, $volname, $is_base, $format) = @_;
    change({%LONG_CHANGE}, 'free', address($storeid, $volname));
    return;
}

sub clone_image {
    my ($class, $scfg, $storeid, $volname, $vmid, $snap) = @_;
    my $is_base = ($class->parse_volname($volname))[5];
    die "clone_image only works on base images\n" if !$is_base && !defined($snap);
    return change({%CHANGE}, 'clone', address($storeid, $volname, $snap), $vmid);
}

sub create_base {
    my ($class, $storeid, $scfg, $volname) = @_;
    my $is_base = ($class->parse_volname($volname))[5];
    die "create_base not possible with base image\n" if $is_base;
    return change({%CHANGE}, 'template', address($storeid, $volname));
}

# The first name for a guest's disk that no volume and no snapshot of the storage has, from `number` on.
sub free_name {
    my ($storeid, $vmid, $number) = @_;
    my @names = map { $_->{volume} // '' } volumes($storeid, {}, '--snapshots');
    my %taken = map { /(?:vm|base)-\Q$vmid\E-disk-(\d+)/ ? ($1 => 1) : () } @names;
    $number++ while $taken{$number};
    return $number;
}

sub rename_volume {
    my ($class, $scfg, $storeid, $volname, $vmid, $name) = @_;
    my ($source, $to) = (address($storeid, $volname), $name);
    my $number = 0;
    while (1) {
        if (!defined($name)) {
            $number = free_name($storeid, $vmid, $number);
            $to = "vm-$vmid-disk-$number";
        }
        my ($document, $error) = Thinvol::Proxmox::Program::ask(['rename', $source, $to], %CHANGE);
        if ($document) {
            Thinvol::Proxmox::Program::done($document);
            return "$storeid:$to";
        }
        # A volume of another pool in the group may have the name.
        die "$error->{text}\n" if defined($name) || $error->{text} !~ /already exists/ || ++$number > 1023;
    }
}

sub activate_volume {
    my ($class, $storeid, $scfg, $volname, $snap, $cache, $hints) = @_;
    Thinvol::Proxmox::Program::answer(['activate', address($storeid, $volname, $snap)], %CHANGE);
    return 1;
}

sub deactivate_volume {
    my ($class, $storeid, $scfg, $volname, $snap, $cache) = @_;
    # Other volumes stay active, as with Proxmox VE's own plugin.
    return 1 if !defined($snap) && $volname !~ /\Abase-/;
    Thinvol::Proxmox::Program::answer(['deactivate', address($storeid, $volname, $snap)], %CHANGE);
    return 1;
}

sub volume_size_info {
    my ($class, $scfg, $storeid, $volname, $timeout) = @_;
    my %how = (limit => $timeout || 10, patience => 1, silent => 1);
    my $info = Thinvol::Proxmox::Program::answer(['info', address($storeid, $volname)], %how);
    my $size = $info->{size} // '';
    $size =~ /\A(\d+)\z/ or die "the size of volume '$storeid:$volname' is not known\n";
    my $bytes = $1 + 0;
    my $used = defined($info->{mapped}) ? int($info->{mapped}) : 0;
    return wantarray ? ($bytes, 'raw', $used, undef) : $bytes;
}

sub volume_resize {
    my ($class, $scfg, $storeid, $volname, $size, $running, $snap) = @_;
    die "resizing a snapshot is not supported for $class\n" if defined($snap);
    my $kib = int(($size + 1023) / 1024);
    change({%CHANGE}, 'resize', address($storeid, $volname), "${kib}K");
    return 1;
}

# Snapshots

sub volume_snapshot {
    my ($class, $scfg, $storeid, $volname, $snap) = @_;
    change({ limit => 60 }, 'snapshot', @SOON, address($storeid, $volname, $snap));
    return;
}

sub volume_snapshot_delete {
    my ($class, $scfg, $storeid, $volname, $snap, $running) = @_;
    change({%LONG_CHANGE}, 'delete-snapshot', address($storeid, $volname, $snap));
    return;
}

# The guest may still run: that the volume is in use is no reason yet.
sub volume_rollback_is_possible {
    my ($class, $scfg, $storeid, $volname, $snap, $blockers) = @_;
    my %how = (limit => 60, silent => 1);
    my @arguments = ('rollback', '--dry-run', address($storeid, $volname, $snap));
    my ($document, $error) = Thinvol::Proxmox::Program::ask(\@arguments, %how);
    die "$error->{text}\n" if $error && $error->{code} != 4;
    return 1;
}

sub volume_snapshot_rollback {
    my ($class, $scfg, $storeid, $volname, $snap) = @_;
    change({%LONG_CHANGE}, 'rollback', address($storeid, $volname, $snap));
    return;
}

sub volume_snapshot_info {
    my ($class, $scfg, $storeid, $volname) = @_;
    my %snapshots;
    for my $row (volumes($storeid, {}, '--snapshots')) {
        my $parent = ref($row->{parent}) eq 'HASH' ? $row->{parent}{volume} : undef;
        next if !defined($row->{snapshot}) || ($parent // '') ne "$storeid:$volname";
        $snapshots{ $row->{snapshot} } =
            { id => $row->{uuid}, timestamp => $row->{created}, 'virtual-size' => $row->{size} };
    }
    return \%snapshots;
}

sub rename_snapshot {
    my ($class) = @_;
    die "rename_snapshot is not supported for $class\n";
}

# Moves: a stream of a volume, from here or to here

# Seconds for a stream: whoever started it ends it.
my $STREAM_LIMIT = 30 * 24 * 3600;

# How a stream is moved: what thinvol says of its progress goes to the task log.
sub stream {
    my $heard = sub {
        my ($line) = @_;
        print STDERR 'thinvol: ' . Thinvol::Proxmox::Program::shown($line) . "\n" if $line =~ /\A[0-9]/;
    };
    return (limit => $STREAM_LIMIT, heard => $heard, @_);
}

my @PROGRESS = ('--progress', '10');

sub volume_export_formats {
    my ($class, $scfg, $storeid, $volname, $snap, $base, $with_snapshots) = @_;
    return defined($snap) || defined($base) || $with_snapshots ? () : ('raw+size');
}

sub volume_import_formats {
    my ($class, $scfg, $storeid, $volname, $snap, $base, $with_snapshots) = @_;
    return defined($base) || $with_snapshots ? () : ('raw+size');
}

# What is refused of a stream, in the words of Proxmox VE's own plugin.
sub check_stream {
    my ($class, $verb, $format, $base, $with_snapshots) = @_;
    die "volume $verb format $format not available for $class\n" if $format ne 'raw+size';
    die "cannot $verb volumes together with their snapshots in $class\n" if $with_snapshots;
    die "cannot $verb an incremental stream in $class\n" if defined($base);
    return;
}

sub volume_export {
    my ($class, $scfg, $storeid, $fh, $volname, $format, $snap, $base, $with_snapshots) = @_;
    check_stream($class, 'export', $format, $base, $with_snapshots);
    die "cannot export a snapshot in $class\n" if defined($snap);
    my @arguments = ('export', @PROGRESS, address($storeid, $volname), $format, '-');
    Thinvol::Proxmox::Program::answer(\@arguments, stream(output => $fh));
    return;
}

sub volume_import {
    my ($class, $scfg, $storeid, $fh, $volname, $format, $snap, $base, $with_snapshots, $allow_rename) = @_;
    check_stream($class, 'import', $format, $base, $with_snapshots);
    $class->parse_volname($volname);
    my @rename = $allow_rename ? ('--allow-rename') : ();
    my @arguments = ('import', @PROGRESS, @rename, address($storeid, $volname), $format, '-');
    my $made = Thinvol::Proxmox::Program::answer(\@arguments, stream(input => $fh))->{volume} // '';
    $made =~ /\A\Q$storeid\E:([A-Za-z0-9+_.][A-Za-z0-9+_.-]*)\z/
        or die "thinvol says '" . Thinvol::Proxmox::Program::shown($made) . "' where a volume was asked for\n";
    return "$storeid:$1";
}

# What Proxmox VE's own plugin does for a storage that is switched off. The number is the place of the storage's id.
Thinvol::Proxmox::Takeover::methods(
    __PACKAGE__, $STOCK,
    (map { $_ => [0, __PACKAGE__->can($_)] } qw(
        activate_storage activate_volume alloc_image check_connection create_base deactivate_storage deactivate_volume
        free_image list_images map_volume status unmap_volume volume_qemu_snapshot_method
    )),
    (map { $_ => [1, __PACKAGE__->can($_)] } qw(
        clone_image get_formats qemu_blockdev_options rename_snapshot rename_volume storage_can_replicate
        volume_export volume_export_formats volume_import volume_import_formats volume_resize volume_rollback_is_possible volume_size_info volume_snapshot volume_snapshot_delete
        volume_snapshot_info volume_snapshot_rollback
    )),
    (map { $_ => [2, __PACKAGE__->can($_)] } qw(path volume_has_feature)),
);

1;
