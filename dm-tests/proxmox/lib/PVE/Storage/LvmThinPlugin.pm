package PVE::Storage::LvmThinPlugin;

# A stand-in: the type and its properties.

use strict;
use warnings;

use PVE::Storage::LVMPlugin;

use base qw(PVE::Storage::LVMPlugin);

sub type { return 'lvmthin' }
sub plugindata { return { content => [{ images => 1, rootdir => 1 }, { images => 1, rootdir => 1 }] } }
sub properties { return { thinpool => { type => 'string' } } }
sub options { return { thinpool => { fixed => 1 }, vgname => { fixed => 1 }, nodes => { optional => 1 } } }

1;
