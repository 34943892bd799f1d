package Thinvol::Proxmox::BlockDevices;

# What is the same for all storages whose volumes are block devices that are there or not.

use strict;
use warnings;

sub get_formats {
    return { default => 'raw', valid => { raw => 1 } };
}

sub path {
    my ($class, $scfg, $volname, $storeid, $snap) = @_;
    return $class->filesystem_path($scfg, $volname, $snap);
}

sub map_volume {
    my ($class, $storeid, $scfg, $volname, $snap, $hints) = @_;
    return scalar $class->filesystem_path($scfg, $volname, $snap);
}

sub unmap_volume {
    return 1;
}

1;
