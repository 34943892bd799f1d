package PVE::Storage;

# A stand-in for what loads the plugins and calls them in order for qm, pct, vzdump, pvesm and pvestatd, written from
# the documented interface and the recorded order of the calls.

use strict;
use warnings;

use PVE::Storage::ISCSIPlugin;
use PVE::Storage::LVMPlugin;
use PVE::Storage::LvmThinPlugin;
use PVE::Storage::Plugin;

# The version of the interface; a test may ask for another before it loads this.
our $VERSION_OF_API;
BEGIN { $VERSION_OF_API //= 15 }
use constant APIVER => $VERSION_OF_API;
use constant APIAGE => 6;

# What was said of plugins that were not loaded.
our @COMPLAINTS;

# storage id => properties
our $CONFIG = {};

$_->register() for qw(PVE::Storage::LVMPlugin PVE::Storage::LvmThinPlugin PVE::Storage::ISCSIPlugin);

# Loads each class in PVE/Storage/Custom, in the order of their names.
sub load_custom {
    my ($folder) = @_;
    opendir(my $entries, $folder) or die "no folder of plugins: $!\n";
    for my $name (sort map { /\A([A-Za-z0-9]+)\.pm\z/ ? $1 : () } readdir($entries)) {
        my $class = "PVE::Storage::Custom::$name";
        eval {
            require "PVE/Storage/Custom/$name.pm";
            die "not derived from PVE::Storage::Plugin\n" if !$class->isa('PVE::Storage::Plugin');
            my $version = $class->api();
            die "newer than this ($version > " . APIVER . ")\n" if $version > APIVER;
            die "too old ($version)\n" if $version < APIVER - APIAGE;
            $class->register();
            push @COMPLAINTS, "$class: an older version\n" if $version != APIVER;
        };
        push @COMPLAINTS, "$class: $@" if $@;
    }
    PVE::Storage::Plugin->init();
    return;
}

sub found {
    my ($storeid) = @_;
    my $scfg = $CONFIG->{$storeid} or die "storage '$storeid' does not exist\n";
    return ($scfg, PVE::Storage::Plugin->lookup($scfg->{type}));
}

sub volume {
    my ($volid) = @_;
    my ($storeid, $volname) = PVE::Storage::Plugin::parse_volume_id($volid);
    return ($storeid, found($storeid), $volname);
}

sub activate_storage {
    my ($storeid, $cache) = @_;
    my ($scfg, $plugin) = found($storeid);
    return if $cache->{activated}{$storeid};
    die "storage '$storeid' is not online\n" if !$plugin->check_connection($storeid, $scfg);
    $plugin->activate_storage($storeid, $scfg, $cache);
    system('udevadm', 'settle', '--timeout=30') if -x '/usr/bin/udevadm' && -d '/run/udev';
    $cache->{activated}{$storeid} = 1;
    return;
}

sub deactivate_storage {
    my ($storeid) = @_;
    my ($scfg, $plugin) = found($storeid);
    return $plugin->deactivate_storage($storeid, $scfg, {});
}

sub activate_volumes {
    my ($volids, $snap, $hints) = @_;
    my $cache = {};
    my %storages = map { (volume($_))[0] => 1 } @$volids;
    activate_storage($_, $cache) for sort keys %storages;
    for my $volid (@$volids) {
        my ($storeid, $scfg, $plugin, $volname) = volume($volid);
        $plugin->activate_volume($storeid, $scfg, $volname, $snap, $cache, $hints);
    }
    return 'activated';
}

sub deactivate_volumes {
    my ($volids, $snap) = @_;
    my $cache = {};
    for my $volid (@$volids) {
        my ($storeid, $scfg, $plugin, $volname) = volume($volid);
        $plugin->deactivate_volume($storeid, $scfg, $volname, $snap, $cache);
    }
    return 'deactivated';
}

sub vdisk_alloc {
    my ($storeid, $vmid, $format, $name, $size) = @_;
    my ($scfg, $plugin) = found($storeid);
    activate_storage($storeid, {});
    my $old = umask(0037);
    my $made = $plugin->cluster_lock_storage($storeid, 0, undef, sub {
        my $volname = eval { $plugin->alloc_image($storeid, $scfg, $vmid, $format, $name, $size) };
        my $error = $@;
        umask($old);
        die $error if $error;
        return "$storeid:$volname";
    });
    return $made;
}

# What is slow is left to a task; here it is done at once.
sub vdisk_free {
    my ($volid) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    activate_storage($storeid, {});
    my $task = $plugin->cluster_lock_storage($storeid, 0, undef, sub {
        my $is_base = ($plugin->parse_volname($volname))[5];
        return $plugin->free_image($storeid, $scfg, $volname, $is_base, 'raw');
    });
    $task->() if $task;
    return 'freed';
}

sub vdisk_clone {
    my ($volid, $vmid, $snap) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    activate_storage($storeid, {});
    return $plugin->cluster_lock_storage($storeid, 0, undef, sub {
        return "$storeid:" . $plugin->clone_image($scfg, $storeid, $volname, $vmid, $snap);
    });
}

sub vdisk_create_base {
    my ($volid) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    activate_storage($storeid, {});
    return "$storeid:" . $plugin->create_base($storeid, $scfg, $volname);
}

sub vdisk_list {
    my ($storeid, $vmid, $vollist) = @_;
    my $cache = {};
    my ($scfg, $plugin) = found($storeid);
    activate_storage($storeid, $cache);
    my $images = $plugin->list_images($storeid, $scfg, $vmid, $vollist, $cache);
    return [sort { $a->{volid} cmp $b->{volid} } @$images];
}

sub volids {
    return join(' ', map { $_->{volid} } @{ vdisk_list(@_) });
}

# One round of pvestatd: all storages with one cache, what fails is said and left out.
sub storage_info {
    my ($cache, %info) = ({});
    for my $storeid (sort keys %$CONFIG) {
        my ($scfg, $plugin) = found($storeid);
        $info{$storeid} = { active => 0, total => 0, avail => 0, used => 0 };
        eval { activate_storage($storeid, $cache) };
        if ($@) {
            warn $@;
            next;
        }
        my ($total, $avail, $used, $active) = eval { $plugin->status($storeid, $scfg, $cache) };
        warn $@ if $@;
        next if !$active;
        $info{$storeid} = { active => $active, total => int($total), avail => int($avail), used => int($used) };
    }
    return \%info;
}

# The methods that are called with what a volume id means: (class, configuration, storage, volume, ...).
for my $method (qw(
    rename_volume volume_resize volume_rollback_is_possible volume_size_info volume_snapshot volume_snapshot_delete
    volume_snapshot_info volume_snapshot_rollback
)) {
    no strict 'refs';
    *$method = sub {
        my ($volid, @rest) = @_;
        my ($storeid, $scfg, $plugin, $volname) = volume($volid);
        return $plugin->$method($scfg, $storeid, $volname, @rest);
    };
}

# A stream of a volume, from the file handle or to it.
sub volume_export {
    my ($fh, $volid, @rest) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    $plugin->volume_export($scfg, $storeid, $fh, $volname, @rest);
    return 'exported';
}

sub volume_import {
    my ($fh, $volid, @rest) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    return $plugin->volume_import($scfg, $storeid, $fh, $volname, @rest);
}

# In which formats both ends can move a volume.
sub transfer_formats {
    my ($volid, $snap, $base, $with_snapshots) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    my %out = map { $_ => 1 } $plugin->volume_export_formats($scfg, $storeid, $volname, $snap, $base, $with_snapshots);
    my @in = $plugin->volume_import_formats($scfg, $storeid, $volname, $snap, $base, $with_snapshots);
    return join(' ', grep { $out{$_} } @in);
}

sub volume_has_feature {
    my ($feature, $volid, $snap, $running) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    return $plugin->volume_has_feature($scfg, $feature, $storeid, $volname, $snap, $running, {}) ? 1 : 0;
}

sub path {
    my ($volid, $snap) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    my ($path, $owner, $vtype) = $plugin->path($scfg, $volname, $storeid, $snap);
    return join(' ', $path, $owner // '-', $vtype);
}

sub map_volume {
    my ($volid, $snap, $hints) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    return $plugin->map_volume($storeid, $scfg, $volname, $snap, $hints);
}

sub qemu_blockdev_options {
    my ($volid, $snap) = @_;
    my ($storeid, $scfg, $plugin, $volname) = volume($volid);
    my $options = $plugin->qemu_blockdev_options($scfg, $storeid, $volname, 'pc', { 'snapshot-name' => $snap });
    return "$options->{driver} $options->{filename}";
}

1;
