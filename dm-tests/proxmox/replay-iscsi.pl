#!/usr/bin/perl -T
# Replays what Proxmox VE's programs ask of a storage of type iscsi, with the plugin and the real thinvol below it. Called
# with the program, a configuration that has the storage `san`, its portal, its target, the name of a disk of it, and
# what is to be done: one of the parts below.

use strict;
use warnings;

use Test::More;

use PVE::Storage;
use Replay;

my ($portal, $target, $disk, $part) = Replay::start(@ARGV);
$PVE::Storage::CONFIG = { san => { type => 'iscsi', portal => $portal, target => $target } };

sub sessions {
    return scalar(my @sessions = Thinvol::Proxmox::Kernel::sessions($target));
}

# As long as the storage that is being added is in no configuration.
sub added {
    local @Thinvol::Proxmox::Program::OPTIONS = ('--config', '/dev/null');
    PVE::Storage::activate_storage('san', {});
    my $info = PVE::Storage::storage_info()->{san};
    return $info->{active} ? 'active' : 'inactive';
}

my ($by_id) = $disk =~ /\A\d+\.\d+\.\d+\.(.*)\z/;
my %PARTS = (
    up => [
        'pvesm add',
        ['is not in the configuration yet', 'added', [], 'active'],
        ['one session', 'sessions', [], 1],
        'log out',
        ['deactivate', 'PVE::Storage::deactivate_storage', ['san'], undef],
        ['no session', 'sessions', [], 0],
        'pvestatd',
        ['a round logs in', 'Replay::round', [], 'san active total=67108864 used=0'],
        ['at both portals', 'sessions', [], 2],
        ['another round', 'Replay::round', [], 'san active total=67108864 used=0'],
        'pvesm list',
        ['the disk', 'PVE::Storage::volids', ['san'], "san:$disk"],
        ['none of a guest', 'PVE::Storage::volids', ['san', 100], ''],
        ['its size', 'PVE::Storage::volume_size_info', ["san:$disk"], 67108864],
        'a guest with the disk',
        ['start', 'PVE::Storage::activate_volumes', [["san:$disk"], undef, {}], 'activated'],
        ['for QEMU', 'PVE::Storage::qemu_blockdev_options', ["san:$disk"], "host_device /dev/disk/by-id/$by_id"],
        ['copy', 'PVE::Storage::volume_has_feature', ['copy', "san:$disk"], 1],
        ['snapshot', 'PVE::Storage::volume_has_feature', ['snapshot', "san:$disk"], 0],
        ['no other disk', 'PVE::Storage::activate_volumes', [['san:0.0.9.scsi-36']], { dies => qr/not part of target/ }],
        ['no alloc', 'PVE::Storage::vdisk_alloc', ['san', 100, 'raw', undef, 4096], { dies => qr/can't allocate space/ }],
        ['stop', 'PVE::Storage::deactivate_volumes', [["san:$disk"]], 'deactivated'],
    ],
    down => [
        'the end',
        ['deactivate', 'PVE::Storage::deactivate_storage', ['san'], undef],
        ['no session', 'sessions', [], 0],
        ['nothing to do', 'PVE::Storage::deactivate_storage', ['san'], undef],
    ],
    off => [
        'a target that is switched off',
        ['start', 'PVE::Storage::activate_volumes', [["san:$disk"]], { dies => qr/is not online.*not available now/ }],
    ],
    gone => [
        'a portal that is gone',
        ['start', 'PVE::Storage::activate_volumes', [["san:$disk"]], { dies => qr/\Astorage 'san' is not online\n/ }],
        ['a round', 'Replay::round', [], 'san inactive total=0 used=0', qr/\Astorage 'san' is not online\n\z/],
    ],
);

Replay::table(@{ $PARTS{$part} });
done_testing();
