package PVE::Storage::ISCSIPlugin;

# A stand-in: the type and its properties.

use strict;
use warnings;

use PVE::Storage::LVMPlugin;

use base qw(PVE::Storage::Plugin);

sub type { return 'iscsi' }
sub plugindata { return { content => [{ images => 1, none => 1 }, { images => 1 }], select_existing => 1 } }
sub properties { return { target => { type => 'string' }, portal => { type => 'string' } } }
sub options { return { target => { fixed => 1 }, portal => { fixed => 1 }, nodes => { optional => 1 } } }

for my $method (@PVE::Storage::LVMPlugin::METHODS) {
    no strict 'refs';
    *$method = *{"PVE::Storage::LVMPlugin::$method"}{CODE};
}

1;
