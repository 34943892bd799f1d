#!/usr/bin/perl -T
# A storage of type iscsi: which call of a method becomes which call of thinvol, and what is made of the answer.

use strict;
use warnings;
no warnings 'once';

use IO::Socket::INET;
use Test::More;

use Fake;
use PVE::Storage;

PVE::Storage::load_custom(Fake::plugins());
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "no socket: $!";
my $port = $listener->sockport;
my $target = 'iqn.2025-01.test:a';
$PVE::Storage::CONFIG = { san => { type => 'iscsi', portal => "127.0.0.1:$port", target => $target } };

my $lun = '0.0.1.scsi-360000000000000000e00000000010001';
my $list = Fake::document('list san', { volumes => [
    { volume => "san:$lun", size => 67108864, vmid => undef }, { volume => 'san:odd', size => 1 },
] });
my $rescan = Fake::document('rescan', { sessions => [] });

# [what it is, function of the host, its arguments, the rules, the result or the error, the calls of thinvol]
my @TABLE = (
    ['its disks', 'volids', ['san'], [$rescan, $list], "san:$lun",
        ["--json iscsi rescan --target $target --timeout 2", '--json list san']],
    ['its disks again, soon after', 'volids', ['san'], [$list], "san:$lun", ['--json list san']],
    ['all about them', 'vdisk_list', ['san'], [$list],
        [{ volid => "san:$lun", format => 'raw', size => 67108864, vmid => 0 }], undef],
    ['those of a guest', 'volids', ['san', 100], [], '', []],
    ['one that is asked for', 'volids', ['san', 100, ["san:$lun"]], [$list], "san:$lun", undef],
    ['use a disk', 'activate_volumes', [["san:$lun"]], [Fake::document('activate', {})], 'activated',
        ["--json activate san:$lun"]],
    ['a disk of another target', 'activate_volumes', [["san:$lun"]],
        [Fake::error('activate', 5, "volume '$lun' not part of target '$target'", hint => 'thinvol recover')],
        qr/\Avolume '\Q$lun\E' not part of target/, undef],
    ['leave a disk', 'deactivate_volumes', [["san:$lun"]], [], 'deactivated', []],
    ['a path', 'path', ["san:$lun"], [], '/dev/disk/by-id/scsi-360000000000000000e00000000010001 - images', []],
    ['no volume', 'path', ['san:vm-100-disk-0'], [], qr/\Aunable to parse iscsi volume name 'vm-100-disk-0'\n\z/, []],
    ['a size that cannot be had', 'volume_size_info', ["san:$lun"], [], qr/there is no block device/, []],
    ['a device that cannot be had', 'qemu_blockdev_options', ["san:$lun"], [], qr/there is no block device/, []],
    ['alloc', 'vdisk_alloc', ['san', 100, 'raw', undef, 4096], [], qr/\Acan't allocate space in iscsi storage\n\z/, []],
    ['free', 'vdisk_free', ["san:$lun"], [], qr/\Acan't free space in iscsi storage\n\z/, []],
    ['clone', 'vdisk_clone', ["san:$lun", 100], [], qr/\Acan't clone images in iscsi storage\n\z/, []],
    ['template', 'vdisk_create_base', ["san:$lun"], [], qr/\Acan't create base images in iscsi storage\n\z/, []],
    ['resize', 'volume_resize', ["san:$lun", 1], [], qr/\Avolume resize is not possible on iscsi device\n\z/, []],
    ['snapshot', 'volume_snapshot', ["san:$lun", 'x'], [], qr/\Asnapshot is not possible on iscsi storage\n\z/, []],
    ['rollback', 'volume_snapshot_rollback', ["san:$lun", 'x'], [], qr/\Asnapshot is not possible/, []],
    ['delete a snapshot', 'volume_snapshot_delete', ["san:$lun", 'x'], [], qr/\Asnapshot is not possible/, []],
    ['rename', 'rename_volume', ["san:$lun", 100, 'x'], [], qr/\Avolume rename is not possible on iscsi storage\n\z/, []],
    ['log out', 'deactivate_storage', ['san'], [Fake::document('deactivate', {})], undef, ['--json deactivate san']],
    ['log out of what is used', 'deactivate_storage', ['san'], [Fake::error('deactivate', 4, 'in use by pve-data')],
        qr/\Ain use by pve-data - nothing was changed/, undef],
);

Fake::session(7, 'iqn.other', 'LOGGED_IN');
Fake::session(8, $target, 'FAILED');
Fake::session(9, $target, 'LOGGED_IN');
Fake::call(@$_) for @TABLE;

# Without a session: the portal is asked, and logged in to.
Fake::session(9, $target, 'FAILED');
Fake::call('log in', 'activate_volumes', [["san:$lun"]], [Fake::document('activate', {})], 'activated',
    ['--json activate san', "--json activate san:$lun"]);
Fake::call('a target that is not there', 'activate_volumes', [["san:$lun"]],
    [Fake::error('activate', 3, 'no target'), Fake::error('login', 3, "no target '$target'")], qr/\Ano target '$target'\n\z/,
    ['--json activate san', "--json iscsi login --portal 127.0.0.1:$port --target $target"]);
Fake::call('a storage that is being added', 'activate_volumes', [["san:$lun"]],
    [Fake::document("activate san:", {}), Fake::error('activate', 3, "no storage 'san'"), Fake::document('login', {})],
    'activated', [
        '--json activate san', "--json iscsi login --portal 127.0.0.1:$port --target $target", "--json activate san:$lun",
    ]);
Fake::call('one that refuses', 'activate_volumes', [["san:$lun"]], [Fake::error('activate', 1, 'CHAP is wrong')],
    qr/\ACHAP is wrong\n\z/, ['--json activate san']);
Fake::call('no session, no disks', 'volids', ['san'], [Fake::document('activate', {}), $list], "san:$lun", undef);
close($listener);
Fake::call('a portal that is not there', 'activate_volumes', [["san:$lun"]], [], qr/\Astorage 'san' is not online\n\z/, []);
$PVE::Storage::CONFIG->{san}{portal} = "[::1]:$port";
Fake::call('the same by IPv6', 'activate_volumes', [["san:$lun"]], [], qr/\Astorage 'san' is not online\n\z/, []);

# A name whose look-up hangs is no reason to.
{
    no warnings 'redefine';
    require IO::Socket::IP;
    local *IO::Socket::IP::new = sub { sleep(600) };
    Fake::call('a portal that hangs', 'activate_volumes', [["san:$lun"]], [], qr/\Astorage 'san' is not online\n\z/, []);
}

my @portals = map { join(' ', PVE::Storage::Custom::ThinvolISCSIPlugin::host_and_port($_)) }
    '10.0.0.1', '10.0.0.1:3261', 'san.example.com', 'san:1', '[fd00::1]', '[fd00::1]:3261', '[10.0.0.1]:1', 'fd00::1';
is_deeply(\@portals, [
    '10.0.0.1 3260', '10.0.0.1 3261', 'san.example.com 3260', 'san 1', 'fd00::1 3260', 'fd00::1 3261', '10.0.0.1 1',
    'fd00::1 3260',
], 'portals');

is(Thinvol::Proxmox::Kernel::size_of('/dev/null'), undef, 'a device that is no disk has no size');

done_testing();
