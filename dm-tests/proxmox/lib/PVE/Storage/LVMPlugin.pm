package PVE::Storage::LVMPlugin;

# A stand-in: the type, and which methods there are. Each of them only says that it was called.

use strict;
use warnings;

use base qw(PVE::Storage::Plugin);

# What was called: "<type> <method>".
our @CALLED;

sub type { return 'lvm' }
sub plugindata { return { content => [{ images => 1, rootdir => 1 }, { images => 1 }] } }
sub properties { return { vgname => { type => 'string' } } }
sub options { return { vgname => { fixed => 1 } } }

# The methods by which a storage and its volumes are used.
our @METHODS = qw(
    activate_storage activate_volume alloc_image check_connection clone_image create_base deactivate_storage
    deactivate_volume filesystem_path free_image get_formats list_images map_volume parse_volname path
    qemu_blockdev_options rename_snapshot rename_volume status storage_can_replicate unmap_volume volume_export
    volume_export_formats volume_has_feature volume_import volume_import_formats volume_qemu_snapshot_method
    volume_resize volume_rollback_is_possible volume_size_info volume_snapshot volume_snapshot_delete
    volume_snapshot_info volume_snapshot_needs_fsfreeze volume_snapshot_rollback
);

for my $method (@METHODS) {
    no strict 'refs';
    *$method = sub {
        my ($class) = @_;
        push @CALLED, $class->type() . " $method";
        return "stock $method";
    };
}

1;
