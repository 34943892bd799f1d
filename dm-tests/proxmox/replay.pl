#!/usr/bin/perl -T
# Replays what Proxmox VE's programs ask of a storage of type lvmthin, call after call, with the plugin and the real
# thinvol below it. Called with the program, a configuration that has the storage `st`, and its volume group, whose pool
# `data` is empty.

use strict;
use warnings;

use Fcntl qw(:DEFAULT :flock);
use POSIX qw(:sys_wait_h);
use Test::More;

use PVE::Storage;
use Replay;

my ($vg) = Replay::start(@ARGV);
$PVE::Storage::CONFIG = { st => { type => 'lvmthin', vgname => $vg, thinpool => 'data' } };

my $mnt = '/tmp/replay-mnt';
mkdir($mnt);
my @open;

# Writes a word to a volume, as a guest would; reads it.
sub put {
    my ($volid, $word) = @_;
    my ($path) = split(/ /, PVE::Storage::path($volid));
    sysopen(my $disk, $path, O_RDWR) or die "$path: $!\n";
    syswrite($disk, "$word\n" . "\0" x (4096 - length($word) - 1)) == 4096 or die "$path: $!\n";
    close($disk) or die "$path: $!\n";
    return $word;
}

sub get {
    my ($volid, $snap) = @_;
    my ($path) = split(/ /, PVE::Storage::path($volid, $snap));
    sysopen(my $disk, $path, O_RDONLY) or die "$path: $!\n";
    my $line = <$disk>;
    chomp($line);
    return $line =~ /\A\0/ ? 'nothing' : $line;
}

# A guest has a volume open, and closes what it has.
sub hold {
    my ($volid) = @_;
    my ($path) = split(/ /, PVE::Storage::path($volid));
    sysopen(my $disk, $path, O_RDWR) or die "$path: $!\n";
    push @open, $disk;
    return 'held';
}

sub let_go {
    close($_) for @open;
    @open = ();
    return 'let go';
}

# What lvm2 shows of volumes: name, attributes and size.
sub lvs {
    my ($fields, $select) = @_;
    my @options = ('--noheadings', '--units', 'b', '--nosuffix', '-o', $fields, '-S', $select);
    return join(', ', map { s/\A\s+|\s+\z//gr =~ s/\s+/ /gr } split(/\n/, Replay::command('lvs', @options, $vg)));
}

sub mkfs { return Replay::command('mkfs.ext4', '-q', map { (split(/ /, PVE::Storage::path($_)))[0] } @_) }

sub mount_ro {
    my ($volid, $snap) = @_;
    my $path = PVE::Storage::map_volume($volid, $snap);
    Replay::command('mount', '-o', 'ro,noload', $path, $mnt);
    return 'mounted';
}

sub umount { return Replay::command('umount', $mnt) }
sub settle { return Replay::command('udevadm', 'settle') }

my $d0 = 'st:vm-100-disk-0';
my $d1 = 'st:vm-100-disk-1';

# [what it is, function, arguments, result: a value, a pattern for a text, or {dies => pattern}]
my @TABLE = (
    'pvestatd',
    ['a round', 'Replay::round', [], qr/\Ast active total=[1-9]\d* used=\d+\z/],

    'qm create, qm start',
    ['the first disk', 'PVE::Storage::vdisk_alloc', ['st', 100, 'raw', undef, 32768], $d0],
    ['the second', 'PVE::Storage::vdisk_alloc', ['st', 100, 'raw', undef, 16384], $d1],
    ['cloud-init', 'PVE::Storage::vdisk_alloc', ['st', 100, 'raw', 'vm-100-cloudinit', 4096], 'st:vm-100-cloudinit'],
    ['the same again', 'PVE::Storage::vdisk_alloc', ['st', 100, 'raw', 'vm-100-cloudinit', 4096], { dies => qr/exists/ }],
    ['another format', 'PVE::Storage::vdisk_alloc', ['st', 100, 'qcow2', undef, 4096], { dies => qr/unsupported format/ }],
    ['start', 'PVE::Storage::activate_volumes', [[$d0, $d1], undef, { 'guest-is-windows' => 0 }], 'activated'],
    ['start what runs', 'PVE::Storage::activate_volumes', [[$d0, $d1]], 'activated'],
    ['for QEMU', 'PVE::Storage::qemu_blockdev_options', [$d0], "host_device /dev/$vg/vm-100-disk-0"],
    ['lvm2 sees it', 'lvs', ['lv_name,lv_attr,lv_size', 'lv_name=vm-100-disk-0'], 'vm-100-disk-0 Vwi-a-tz-- 33554432'],
    ['the guest writes', 'put', [$d0, 'monday'], 'monday'],
    ['to both', 'put', [$d1, 'one'], 'one'],
    ['list', 'PVE::Storage::volids', ['st', 100], "st:vm-100-cloudinit $d0 $d1"],
    ['list what is asked for', 'PVE::Storage::volids', ['st', undef, [$d1]], $d1],
    ['size', 'PVE::Storage::volume_size_info', [$d0, 5], 33554432],
    ['nothing of others', 'PVE::Storage::volids', ['st', 10], ''],

    'qm snapshot, with the guest running',
    ['it holds its disks', 'hold', [$d0], 'held'], ['both', 'hold', [$d1], 'held'],
    ['may it be', 'PVE::Storage::volume_has_feature', ['snapshot', $d0], 1],
    ['its memory', 'PVE::Storage::vdisk_alloc', ['st', 100, 'raw', 'vm-100-state-before', 8192], 'st:vm-100-state-before'],
    ['is activated', 'PVE::Storage::activate_volumes', [['st:vm-100-state-before']], 'activated'],
    ['one disk', 'PVE::Storage::volume_snapshot', [$d0, 'before'], undef],
    ['the other', 'PVE::Storage::volume_snapshot', [$d1, 'before'], undef],
    ['the same again', 'PVE::Storage::volume_snapshot', [$d1, 'before'], { dies => qr/exists/ }],
    ['lvm2 sees it', 'lvs', ['lv_name,lv_attr,origin', 'lv_name=snap_vm-100-disk-0_before'],
        'snap_vm-100-disk-0_before Vri---tz-k vm-100-disk-0'],
    ['the guest goes on', 'put', [$d0, 'tuesday'], 'tuesday'],
    ['with both', 'put', [$d1, 'two'], 'two'],
    ['snapshots', 'snapshots', [$d0], 'before'],
    ['snapshots are no disks', 'PVE::Storage::volids', ['st', 100],
        "st:vm-100-cloudinit $d0 $d1 st:vm-100-state-before"],

    'qm rollback',
    ['of what is not there', 'PVE::Storage::volume_rollback_is_possible', [$d0, 'never', []], { dies => qr/never/ }],
    ['is it possible', 'PVE::Storage::volume_rollback_is_possible', [$d0, 'before', []], 1],
    ['for both', 'PVE::Storage::volume_rollback_is_possible', [$d1, 'before', []], 1],
    ['not under the guest', 'PVE::Storage::volume_snapshot_rollback', [$d0, 'before'], { dies => qr/in use/ }],
    ['stop', 'let_go', [], 'let go'], ['settle', 'settle', [], ''],
    ['and deactivate', 'PVE::Storage::deactivate_volumes', [[$d0, $d1]], 'deactivated'],
    ['one disk', 'PVE::Storage::volume_snapshot_rollback', [$d0, 'before'], undef],
    ['the other', 'PVE::Storage::volume_snapshot_rollback', [$d1, 'before'], undef],
    ['start', 'PVE::Storage::activate_volumes', [[$d0, $d1]], 'activated'],
    ['it is Monday again', 'get', [$d0], 'monday'], ['on both', 'get', [$d1], 'one'],
    ['the snapshot is still there', 'snapshots', [$d0], 'before'],

    'qm delsnapshot, with the guest running',
    ['it holds its disks', 'hold', [$d0], 'held'],
    ['its memory', 'PVE::Storage::vdisk_free', ['st:vm-100-state-before'], 'freed'],
    ['one disk', 'PVE::Storage::volume_snapshot_delete', [$d0, 'before', 1], undef],
    ['the other', 'PVE::Storage::volume_snapshot_delete', [$d1, 'before', 1], undef],
    ['what is not there', 'PVE::Storage::volume_snapshot_delete', [$d1, 'before', 1], { dies => qr/before/ }],
    ['none is left', 'lvs', ['lv_name', 'lv_name=~^snap_'], ''],
    ['how long that takes', 'pause', [], 'measured'],

    'qm resize, with the guest running',
    ['grow', 'PVE::Storage::volume_resize', [$d0, 67108864, 1], 1],
    ['it has that size', 'PVE::Storage::volume_size_info', [$d0], 67108864],
    ['grow to the same', 'PVE::Storage::volume_resize', [$d0, 67108864, 1], 1],
    ['shrink', 'PVE::Storage::volume_resize', [$d0, 33554432, 1], { dies => qr/shrink|smaller/ }],
    ['lvm2 sees it', 'lvs', ['lv_size,lv_attr', 'lv_name=vm-100-disk-0'], '67108864 Vwi-aotz--'],
    ['stop', 'let_go', [], 'let go'], ['settle', 'settle', [], ''],

    'vzdump of a container by snapshot',
    ['its disk', 'PVE::Storage::vdisk_alloc', ['st', 200, 'raw', undef, 65536], 'st:vm-200-disk-0'],
    ['has a file system', 'mkfs', ['st:vm-200-disk-0'], ''],
    ['snapshot', 'PVE::Storage::volume_snapshot', ['st:vm-200-disk-0', 'vzdump'], undef],
    ['activate it', 'PVE::Storage::activate_volumes', [['st:vm-200-disk-0'], 'vzdump'], 'activated'],
    ['mount it', 'mount_ro', ['st:vm-200-disk-0', 'vzdump'], 'mounted'],
    ['not while it is mounted', 'PVE::Storage::volume_snapshot_delete', ['st:vm-200-disk-0', 'vzdump'], { dies => qr/in use|mounted/ }],
    ['unmount it', 'umount', [], ''], ['settle', 'settle', [], ''],
    ['delete it while it is active', 'PVE::Storage::volume_snapshot_delete', ['st:vm-200-disk-0', 'vzdump'], undef],
    ['none is left', 'lvs', ['lv_name', 'lv_name=~^snap_'], ''],

    'snapshots of replication',
    ['take', 'PVE::Storage::volume_snapshot', ['st:vm-200-disk-0', '__replicate_200-0_1700000000__'], undef],
    ['activate', 'PVE::Storage::activate_volumes', [['st:vm-200-disk-0'], '__replicate_200-0_1700000000__'], 'activated'],
    ['deactivate', 'PVE::Storage::deactivate_volumes', [['st:vm-200-disk-0'], '__replicate_200-0_1700000000__'], 'deactivated'],
    ['known', 'snapshots', ['st:vm-200-disk-0'], '__replicate_200-0_1700000000__'],
    ['refused by type', 'PVE::Storage::volume_has_feature', ['replicate', 'st:vm-200-disk-0'], 0],
    ['free goes with them', 'PVE::Storage::vdisk_free', ['st:vm-200-disk-0'], 'freed'],
    ['none is left', 'lvs', ['lv_name', 'lv_name=~200'], ''],

    'qm template, qm clone',
    ['a disk', 'PVE::Storage::vdisk_alloc', ['st', 9000, 'raw', undef, 8192], 'st:vm-9000-disk-0'],
    ['its content', 'put', ['st:vm-9000-disk-0', 'golden'], 'golden'], ['settle', 'settle', [], ''],
    ['is a template', 'PVE::Storage::vdisk_create_base', ['st:vm-9000-disk-0'], 'st:base-9000-disk-0'],
    ['lvm2 sees it', 'lvs', ['lv_attr', 'lv_name=base-9000-disk-0'], 'Vri---tz-k'],
    ['not twice', 'PVE::Storage::vdisk_create_base', ['st:base-9000-disk-0'], { dies => qr/not possible with base image/ }],
    ['no snapshot of it', 'PVE::Storage::volume_has_feature', ['snapshot', 'st:base-9000-disk-0'], 0],
    ['a linked clone', 'PVE::Storage::vdisk_clone', ['st:base-9000-disk-0', 300], 'st:vm-300-disk-0'],
    ['has its content', 'get', ['st:vm-300-disk-0'], 'golden'],
    ['goes its own way', 'put', ['st:vm-300-disk-0', 'own'], 'own'], ['settle', 'settle', [], ''],
    ['a template in use is not freed', 'PVE::Storage::vdisk_free', ['st:base-9000-disk-0'], { dies => qr/vm-300-disk-0/ }],
    ['a clone of a disk', 'PVE::Storage::vdisk_clone', [$d0, 300], { dies => qr/only works on base images/ }],
    ['a snapshot', 'PVE::Storage::volume_snapshot', [$d0, 's1'], undef],
    ['and a clone of it', 'PVE::Storage::vdisk_clone', [$d0, 300, 's1'], 'st:vm-300-disk-1'],
    ['has its content', 'get', ['st:vm-300-disk-1'], 'monday'],
    ['its snapshot may go', 'PVE::Storage::volume_snapshot_delete', [$d0, 's1', 0], undef,
        qr/\Athinvol: pve\/snap_vm-100-disk-0_s1 goes, what was made from it stays whole: vm-300-disk-1\n\z/],
    ['a full clone', 'full_clone', ['st:base-9000-disk-0', 301], 'st:vm-301-disk-0 golden'],

    'pvesm export, pvesm import',
    ['the formats', 'PVE::Storage::transfer_formats', [$d0, undef, undef, 0], 'raw+size'],
    ['a guest to another node and back', 'moved', ['st:vm-301-disk-0', 'st:vm-302-disk-0'], 'st:vm-302-disk-0 golden'],
    ['to a name that is taken', 'moved', ['st:vm-301-disk-0', 'st:vm-302-disk-0'], 'st:vm-302-disk-1 golden',
        qr/already exists - importing with a different name/],

    'qm disk reassign, rename',
    ['to another guest', 'PVE::Storage::rename_volume', ['st:vm-300-disk-1', 301, undef], 'st:vm-301-disk-1'],
    ['to a name', 'PVE::Storage::rename_volume', ['st:vm-301-disk-1', 301, 'vm-301-data'], 'st:vm-301-data'],
    ['to one that is taken', 'PVE::Storage::rename_volume', ['st:vm-301-data', 301, 'vm-301-disk-0'], { dies => qr/exists/ }],
    ['it is the same', 'get', ['st:vm-301-data'], 'monday'],
    ['what is not there', 'PVE::Storage::rename_volume', ['st:vm-301-gone', 301, 'vm-301-x'], { dies => qr/vm-301-gone/ }],

    'somebody holds the lock of the group',
    ['a round before', 'first_round', [], qr/\Ast active total=[1-9]\d* used=[1-9]\d*\z/],
    ['who holds it', 'lock', [], 'locked'],
    ['a round tells what was known', 'same_round', [], 'the same', qr/\Athinvol: storage 'st': thinvol status did not finish/],
    ['a list says why it cannot', 'PVE::Storage::volids', ['st'], { dies => qr/thinvol list did not finish within/ }],
    ['a snapshot does not keep the guest', 'PVE::Storage::volume_snapshot', [$d0, 'x'], { dies => qr/lock.*try again/ }],
    ['it is held all the time', 'unlock', [], 'was locked'],
    ['a round after', 'same_round', [], 'the same'],

    'qm destroy',
    ['a disk', 'PVE::Storage::vdisk_free', [$d1], 'freed'],
    ['all', 'free_all', [], 'freed'],
    ['what is gone', 'PVE::Storage::vdisk_free', [$d0], 'freed'],
    ['nothing is left', 'PVE::Storage::volids', ['st'], ''],
    ['lvm2 sees nothing either', 'lvs', ['lv_name', 'pool_lv=data'], ''],

    'the storage',
    ['a round', 'Replay::round', [], qr/\Ast active total=[1-9]\d* used=0\z/],
    ['deactivate', 'PVE::Storage::deactivate_storage', ['st'], undef],
    ['lvm2 sees it', 'lvs', ['lv_active', 'lv_name=data'], ''],
    ['a round activates it', 'Replay::round', [], qr/\Ast active total=[1-9]\d* used=0\z/],
    ['lvm2 sees it', 'lvs', ['lv_active', 'lv_name=data'], 'active'],
);

sub snapshots {
    my ($volid) = @_;
    my $found = PVE::Storage::volume_snapshot_info($volid);
    for my $row (values %$found) {
        $row->{id} && $row->{timestamp} > 1600000000 && $row->{'virtual-size'} or die "a snapshot is not described\n";
    }
    return join(' ', sort keys %$found);
}

# Another process has LVM's lock of the group.
my $locker;

sub lock {
    pipe(my $from, my $to) or die "pipe: $!\n";
    $locker = fork() // die "fork: $!\n";
    if (!$locker) {
        open(my $file, '>>', "/run/lock/lvm/V_$vg") or POSIX::_exit(1);
        flock($file, LOCK_EX) or POSIX::_exit(1);
        syswrite($to, 'locked');
        sleep(3600);
        POSIX::_exit(1);
    }
    close($to);
    sysread($from, my $word, 100);
    return $word;
}

sub unlock {
    my $ended = waitpid($locker, WNOHANG);
    kill('KILL', $locker);
    waitpid($locker, 0);
    return $ended ? "ended with $?" : 'was locked';
}

my $last_round = '';

sub same_round {
    my $now = Replay::round();
    return $now eq $last_round ? 'the same' : "$last_round, then $now";
}

sub first_round { return $last_round = Replay::round() }

# How long a guest stands still for one disk, beside the command that Proxmox VE's own plugin runs.
sub pause {
    my @ours = map { my $name = "p$_"; timed(sub { PVE::Storage::volume_snapshot($d0, $name) }) } 1 .. 3;
    my @stock = map {
        my $name = "q$_";
        timed(sub { Replay::command('lvcreate', '-qq', '-n', "snap_vm-100-disk-0_$name", '-pr', '-s', "$vg/vm-100-disk-0") })
    } 1 .. 3;
    note(sprintf('one snapshot by the plugin: %s s; by lvcreate: %s s', "@ours", "@stock"));
    PVE::Storage::volume_snapshot_delete($d0, $_, 1) for map { ("p$_", "q$_") } 1 .. 3;
    return 'measured';
}

sub timed {
    my ($code) = @_;
    my $start = Thinvol::Proxmox::Program::now();
    $code->();
    return sprintf('%.3f', Thinvol::Proxmox::Program::now() - $start);
}

# As qemu-img and drive-mirror do: allocate, activate, copy.
sub full_clone {
    my ($volid, $vmid) = @_;
    PVE::Storage::activate_volumes([$volid]);
    my $size = PVE::Storage::volume_size_info($volid);
    my $new = PVE::Storage::vdisk_alloc('st', $vmid, 'raw', undef, $size / 1024);
    PVE::Storage::activate_volumes([$new]);
    my ($from, $to) = map { (split(/ /, PVE::Storage::path($_)))[0] } $volid, $new;
    Replay::command('dd', "if=$from", "of=$to", 'bs=1M', 'conv=fsync,sparse', 'status=none');
    settle();
    PVE::Storage::deactivate_volumes([$volid]);
    return "$new " . get($new);
}

# As pvesm export and pvesm import on two nodes, one of which may have Proxmox VE's own plugin, which copies with dd.
sub moved {
    my ($volid, $to) = @_;
    my $path = (split(/ /, PVE::Storage::path($volid)))[0];
    open(my $ours, '+>', undef) or die "a file: $!\n";
    PVE::Storage::volume_export($ours, $volid, 'raw+size', undef, undef, 0);
    seek($ours, 0, 0);
    my $size = PVE::Storage::volume_size_info($volid);
    read($ours, my $header, 8) == 8 or die "no header\n";
    $header eq pack('Q<', $size) or die "another size than $size\n";
    binmode($ours);
    open(my $disk, '<:raw', $path) or die "$path: $!\n";
    while (read($disk, my $want, 1 << 20)) {
        read($ours, my $got, length($want));
        $got eq $want or die "other content\n";
    }
    eof($ours) or die "more than the volume has\n";
    pipe(my $out, my $in) or die "a pipe: $!\n";
    my $pid = fork() // die "fork: $!\n";
    if (!$pid) {
        close($out);
        syswrite($in, $header);
        open(STDOUT, '>&', $in);
        exec('dd', "if=$path", 'bs=64k', 'status=none');
    }
    close($in);
    my $new = PVE::Storage::volume_import($out, $to, 'raw+size', undef, undef, 0, 1);
    waitpid($pid, 0);
    $? == 0 or die "dd: $?\n";
    settle();
    return "$new " . get($new);
}

# Clones first: a template that is used stays.
sub free_all {
    settle();
    my @all = map { $_->{volid} =~ /\A(\S+)\z/ } @{ PVE::Storage::vdisk_list('st') };
    PVE::Storage::vdisk_free($_) for sort { ($a =~ /base/) <=> ($b =~ /base/) } @all;
    return 'freed';
}

Replay::table(@TABLE);
rmdir($mnt);
done_testing();
