#!/usr/bin/perl -T
# A storage of type lvmthin: which call of a method becomes which call of thinvol, and what is made of the answer.

use strict;
use warnings;

use Test::More;

use Fake;
use PVE::Storage;

PVE::Storage::load_custom(Fake::plugins());
is_deeply(\@PVE::Storage::COMPLAINTS, [], 'the plugins are loaded without complaint');
$PVE::Storage::CONFIG = { st => { type => 'lvmthin', vgname => 'pve', thinpool => 'data' } };
Fake::pool('pve-data-tpool');

my $list = Fake::document('^--json list st(?: --snapshots)?$', { volumes => [
    { volume => 'st:vm-100-disk-0', size => 4194304, mapped => 65536, created => 1700000000, parent => undef },
    { volume => 'st:vm-100-disk-1', size => 8388608, mapped => undef, created => undef },
    { volume => 'st:base-9000-disk-0', size => 4194304 },
    { volume => 'st:vm-1000-disk-0', size => 4194304 },
    { volume => 'st:snap_vm-100-disk-2_x', size => 4194304, snapshot => 'x', uuid => 'uuid-x', created => 1700000001,
        parent => { volume => 'st:vm-100-disk-0', uuid => 'u' } },
    { volume => 'st:snap_vm-200-disk-0_y', size => 4194304, snapshot => 'y', uuid => 'uuid-y',
        parent => { volume => 'st:vm-200-disk-0', uuid => 'u' } },
    { volume => 'st:odd name', size => 1 }, 'no row',
] });

# [what it is, function of the host, its arguments, the rules, the result or the error, the calls of thinvol]
my @TABLE = (
    ['the next free name', 'vdisk_alloc', ['st', 100, 'raw', undef, 32768],
        [Fake::changed('alloc', 'st:vm-100-disk-0')], 'st:vm-100-disk-0', ["--json alloc st 100 '' 32768K"]],
    ['a name that is given', 'vdisk_alloc', ['st', 100, 'raw', 'vm-100-cloudinit', 4096],
        [Fake::changed('alloc', 'st:vm-100-cloudinit')], 'st:vm-100-cloudinit',
        ['--json alloc st 100 vm-100-cloudinit 4096K']],
    ['another format', 'vdisk_alloc', ['st', 100, 'qcow2', undef, 4096], [], qr/\Aunsupported format 'qcow2'\n\z/, []],
    ['the name of another guest', 'vdisk_alloc', ['st', 100, 'raw', 'vm-101-disk-0', 4096], [],
        qr/\Aillegal name 'vm-101-disk-0' - should be 'vm-100-\*'\n\z/, []],
    ['a name that looks like an option', 'vdisk_alloc', ['st', 100, 'raw', '--zero', 4096], [], qr/\Aillegal name/, []],
    ['no room', 'vdisk_alloc', ['st', 100, 'raw', undef, 4096],
        [Fake::error('alloc', 1, 'no room in pve', hint => 'make some')], qr/\Ano room in pve \(make some\)\n\z/, undef],
    ['free', 'vdisk_free', ['st:vm-100-disk-0'], [Fake::changed('free', 'st:vm-100-disk-0')], 'freed',
        ['--json free st:vm-100-disk-0']],
    ['free what is not there', 'vdisk_free', ['st:vm-100-disk-0'],
        [Fake::document('free', { transactions => [], notes => ["volume 'st:vm-100-disk-0' does not exist"] })], 'freed',
        ['--json free st:vm-100-disk-0']],
    ['free a template that is used', 'vdisk_free', ['st:base-9000-disk-0'],
        [Fake::error('free', 1, "'st:base-9000-disk-0' has clones: st:vm-100-disk-0")],
        qr/\A'st:base-9000-disk-0' has clones: st:vm-100-disk-0\n\z/, ['--json free st:base-9000-disk-0']],
    ['free what is no volume', 'vdisk_free', ['st:foo'], [], qr/\Aunable to parse lvm volume name 'foo'\n\z/, []],
    ['a linked clone', 'vdisk_clone', ['st:base-9000-disk-0', 101], [Fake::changed('clone', 'st:vm-101-disk-0')],
        'st:vm-101-disk-0', ['--json clone st:base-9000-disk-0 101']],
    ['a clone of a snapshot', 'vdisk_clone', ['st:vm-100-disk-0', 101, 'x'], [Fake::changed('clone', 'st:vm-101-disk-0')],
        'st:vm-101-disk-0', ['--json clone st:vm-100-disk-0@x 101']],
    ['a clone of neither', 'vdisk_clone', ['st:vm-100-disk-0', 101], [], qr/\Aclone_image only works on base images\n\z/, []],
    ['a template', 'vdisk_create_base', ['st:vm-100-disk-0'], [Fake::changed('template', 'st:base-100-disk-0')],
        'st:base-100-disk-0', ['--json template st:vm-100-disk-0']],
    ['a template of a template', 'vdisk_create_base', ['st:base-100-disk-0'], [],
        qr/\Acreate_base not possible with base image\n\z/, []],
    ['grow', 'volume_resize', ['st:vm-100-disk-0', 1073741825, 1], [Fake::changed('resize', 'st:vm-100-disk-0')], 1,
        ['--json resize st:vm-100-disk-0 1048577K']],
    ['grow a snapshot', 'volume_resize', ['st:vm-100-disk-0', 1073741824, 0, 'x'], [],
        qr/\Aresizing a snapshot is not supported/, []],
    ['a snapshot', 'volume_snapshot', ['st:vm-100-disk-0', 'x'], [Fake::changed('snapshot', 'st:snap_vm-100-disk-0_x')], undef,
        ['--json snapshot --lock-timeout 10 st:vm-100-disk-0@x']],
    ['a snapshot of replication', 'volume_snapshot', ['st:vm-100-disk-0', '__replicate_100-0_1700000000__'],
        [Fake::changed('snapshot', 'st:x')], undef,
        ['--json snapshot --lock-timeout 10 st:vm-100-disk-0@__replicate_100-0_1700000000__']],
    ['a snapshot that cannot be had now', 'volume_snapshot', ['st:vm-100-disk-0', 'x'],
        [Fake::error('snapshot', 4, 'pve is locked by process 7 (lvs)')],
        qr/\Apve is locked by process 7 \(lvs\) - nothing was changed, try again later\n\z/, undef],
    ['delete a snapshot', 'volume_snapshot_delete', ['st:vm-100-disk-0', 'x', 1],
        [Fake::changed('delete-snapshot', 'st:snap_vm-100-disk-0_x')], undef, ['--json delete-snapshot st:vm-100-disk-0@x']],
    ['a rollback that can be', 'volume_rollback_is_possible', ['st:vm-100-disk-0', 'x', []],
        [Fake::document('rollback', { executed => JSON::PP::false(), transactions => [] })], 1,
        ['--json rollback --dry-run st:vm-100-disk-0@x']],
    ['a rollback while the guest runs', 'volume_rollback_is_possible', ['st:vm-100-disk-0', 'x', []],
        [Fake::error('rollback', 4, 'it is in use')], 1, undef],
    ['a rollback to what is not there', 'volume_rollback_is_possible', ['st:vm-100-disk-0', 'x', []],
        [Fake::error('rollback', 3, "there is no snapshot 'x'")], qr/\Athere is no snapshot 'x'\n\z/, undef],
    ['a rollback', 'volume_snapshot_rollback', ['st:vm-100-disk-0', 'x'], [Fake::changed('rollback', 'st:vm-100-disk-0')], undef,
        ['--json rollback st:vm-100-disk-0@x']],
    ['snapshots', 'volume_snapshot_info', ['st:vm-100-disk-0'], [$list],
        { x => { id => 'uuid-x', timestamp => 1700000001, 'virtual-size' => 4194304 } }, ['--json list st --snapshots']],
    ['snapshots of what is not there', 'volume_snapshot_info', ['st:vm-300-disk-0'], [$list], {}, undef],
    ['size', 'volume_size_info', ['st:vm-100-disk-0', 5],
        [Fake::document('info', { size => 4194304, mapped => 65536 })], 4194304, ['--json info st:vm-100-disk-0']],
    ['the size of nonsense', 'volume_size_info', ['st:vm-100-disk-0'], [Fake::document('info', { size => 'big' })],
        qr/\Athe size of volume 'st:vm-100-disk-0' is not known\n\z/, undef],
    ['all volumes', 'volids', ['st'], [$list],
        'st:base-9000-disk-0 st:vm-100-disk-0 st:vm-100-disk-1 st:vm-1000-disk-0', ['--json list st']],
    ['those of a guest', 'volids', ['st', 100], [$list], 'st:vm-100-disk-0 st:vm-100-disk-1', undef],
    ['those that are asked for', 'volids', ['st', undef, ['st:vm-1000-disk-0', 'st:vm-5-x']], [$list],
        'st:vm-1000-disk-0', undef],
    ['what is known of them', 'vdisk_list', ['st', 100], [$list], [
        { volid => 'st:vm-100-disk-0', format => 'raw', size => 4194304, vmid => 100, ctime => 1700000000, used => 65536 },
        { volid => 'st:vm-100-disk-1', format => 'raw', size => 8388608, vmid => 100 },
    ], undef],
    ['a list that cannot be had', 'volids', ['st'], [Fake::error('list', 6, 'bad checksum')], qr/\Abad checksum/, undef],
    ['another name', 'rename_volume', ['st:vm-100-disk-0', 100, 'vm-100-x'], [Fake::changed('rename', 'st:vm-100-x')],
        'st:vm-100-x', ['--json rename st:vm-100-disk-0 vm-100-x']],
    ['another guest', 'rename_volume', ['st:vm-200-disk-0', 100], [$list, Fake::changed('rename', 'st:vm-100-disk-3')],
        'st:vm-100-disk-3', ['--json list st --snapshots', '--json rename st:vm-200-disk-0 vm-100-disk-3']],
    ['another guest, whose name another pool has', 'rename_volume', ['st:vm-200-disk-0', 100],
        [$list, Fake::error('disk-3', 1, "'vm-100-disk-3' already exists"), Fake::changed('rename', 'st:vm-100-disk-4')],
        'st:vm-100-disk-4', [
            '--json list st --snapshots', '--json rename st:vm-200-disk-0 vm-100-disk-3',
            '--json list st --snapshots', '--json rename st:vm-200-disk-0 vm-100-disk-4',
        ]],
    ['a name that is taken', 'rename_volume', ['st:vm-200-disk-0', 100, 'vm-100-x'],
        [Fake::error('rename', 1, "'vm-100-x' already exists")], qr/already exists/, ['--json rename st:vm-200-disk-0 vm-100-x']],
    ['start a guest', 'activate_volumes', [['st:vm-100-disk-0', 'st:vm-100-disk-1'], undef, { 'guest-is-windows' => 0 }],
        [Fake::document('activate', {})], 'activated',
        ['--json activate st:vm-100-disk-0', '--json activate st:vm-100-disk-1']],
    ['activate a snapshot', 'activate_volumes', [['st:vm-100-disk-0'], 'vzdump'], [Fake::document('activate', {})], 'activated',
        ['--json activate st:vm-100-disk-0@vzdump']],
    ['stop a guest', 'deactivate_volumes', [['st:vm-100-disk-0']], [], 'deactivated', []],
    ['deactivate a snapshot and a template', 'deactivate_volumes', [['st:base-9000-disk-0', 'st:vm-100-disk-0'], 'x'],
        [Fake::document('deactivate', {})], 'deactivated',
        ['--json deactivate st:base-9000-disk-0@x', '--json deactivate st:vm-100-disk-0@x']],
    ['a snapshot that somebody uses', 'deactivate_volumes', [['st:vm-100-disk-0'], 'x'],
        [Fake::error('deactivate', 4, 'it is mounted on /mnt')], qr/\Ait is mounted on \/mnt - nothing was changed/, undef],
    ['deactivate the storage', 'deactivate_storage', ['st'], [Fake::document('deactivate', { transactions => [] })], undef,
        ['--json deactivate pve']],
    ['a move', 'volume_export', [\*STDERR, 'st:vm-100-disk-0', 'raw+size', undef, undef, 0],
        [{ when => '^--json export', err => qq({"json_version":2,"volume":"st:vm-100-disk-0","warnings":[]}\n) }], 'exported',
        ['--json export --progress 10 st:vm-100-disk-0 raw+size -']],
    ['a move that fails', 'volume_export', [\*STDERR, 'st:vm-100-disk-0', 'raw+size', undef, undef, 0],
        [Fake::error('export', 1, 'the stream cannot be written')], qr/\Athe stream cannot be written\n\z/, undef],
    ['a move whose end is not told', 'volume_export', [\*STDERR, 'st:vm-100-disk-0', 'raw+size', undef, undef, 0],
        [{ when => 'export', err => "1 GiB of 4 GiB\n" }], qr/its answer is not understood/, undef],
    ['a move of a snapshot', 'volume_export', [\*STDERR, 'st:vm-100-disk-0', 'raw+size', 'x', undef, 0], [],
        qr/\Acannot export a snapshot in /, []],
    ['a move of all snapshots', 'volume_export', [\*STDERR, 'st:vm-100-disk-0', 'raw+size', undef, undef, 1], [],
        qr/\Acannot export volumes together with their snapshots in /, []],
    ['a move of what is new', 'volume_import', [\*STDIN, 'st:vm-100-disk-0', 'raw+size', 'x', 'y', 0, 0], [],
        qr/\Acannot import an incremental stream in /, []],
    ['a move in another format', 'volume_import', [\*STDIN, 'st:vm-100-disk-0', 'qcow2+size', undef, undef, 0, 0], [],
        qr/\Avolume import format qcow2\+size not available for /, []],
    ['a volume comes in', 'volume_import', [\*STDIN, 'st:vm-100-disk-0', 'raw+size', undef, undef, 0, 0],
        [Fake::document('^--json import', { volume => 'st:vm-100-disk-0' })], 'st:vm-100-disk-0',
        ['--json import --progress 10 st:vm-100-disk-0 raw+size -']],
    ['a volume comes in under another name', 'volume_import', [\*STDIN, 'st:vm-100-disk-0', 'raw+size', undef, undef, 0, 1],
        [Fake::document('^--json import', { volume => 'st:vm-100-disk-7' })], 'st:vm-100-disk-7',
        ['--json import --progress 10 --allow-rename st:vm-100-disk-0 raw+size -']],
    ['a volume comes in elsewhere', 'volume_import', [\*STDIN, 'st:vm-100-disk-0', 'raw+size', undef, undef, 0, 0],
        [Fake::document('^--json import', { volume => 'other:vm-100-disk-7' })], qr/where a volume was asked for/, undef],
    ['formats', 'transfer_formats', ['st:vm-100-disk-0', undef, undef, 0], [], 'raw+size', []],
    ['formats of a snapshot', 'transfer_formats', ['st:vm-100-disk-0', 'x', undef, 0], [], '', []],
    ['formats with snapshots', 'transfer_formats', ['st:vm-100-disk-0', undef, undef, 1], [], '', []],
    ['a path', 'path', ['st:vm-100-disk-0'], [], '/dev/pve/vm-100-disk-0 100 images', []],
    ['the path of a snapshot', 'path', ['st:vm-100-disk-0', 'x'], [], '/dev/pve/snap_vm-100-disk-0_x 100 images', []],
    ['a path for a container', 'map_volume', ['st:vm-100-disk-0', 'x'], [], '/dev/pve/snap_vm-100-disk-0_x', []],
    ['a device that is not there', 'qemu_blockdev_options', ['st:vm-100-disk-0'], [],
        qr/\Avolume 'st:vm-100-disk-0' is not active: there is no block device/, []],
);

Fake::call(@$_) for @TABLE;

Fake::rules(Fake::document('info', { size => 4194304, mapped => 65536 }));
is_deeply([PVE::Storage::volume_size_info('st:vm-100-disk-0')], [4194304, 'raw', 65536, undef], 'all about a size');

# What can be done with what.
for my $row (
    ['snapshot', 1, 0, 0], ['clone', 0, 1, 1], ['template', 1, 0, 0], ['copy', 1, 1, 1], ['sparseinit', 1, 1, 0],
    ['rename', 1, 0, 0], ['replicate', 0, 0, 0],
) {
    my ($feature, @wanted) = @$row;
    my @got = map { PVE::Storage::volume_has_feature($feature, @$_) }
        ['st:vm-100-disk-0'], ['st:base-100-disk-0'], ['st:vm-100-disk-0', 'x'];
    is_deeply(\@got, \@wanted, "feature $feature");
}

# A pool that is not there is activated, with one that is nobody is started.
$PVE::Storage::CONFIG->{new} = { type => 'lvmthin', vgname => 'a-b', thinpool => 'c-d' };
Fake::rules(Fake::changed('activate', 'a-b/c-d'), Fake::document('list', { volumes => [] }));
is(Fake::heard(sub { PVE::Storage::volids('new') })->{values}[0], '', 'a pool that is not active');
is_deeply([Fake::calls()], ['--json activate a-b/c-d', '--json list new'], 'is activated');
Fake::pool('a--b-c--d');
Fake::rules(Fake::document('list', { volumes => [] }));
is(PVE::Storage::volids('new'), '', 'a pool that is active');
is_deeply([Fake::calls()], ['--json list new'], 'is left as it is');

done_testing();
