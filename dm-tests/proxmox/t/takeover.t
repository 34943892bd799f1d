#!/usr/bin/perl -T
# How the plugins take the places of Proxmox VE's own, and leave them alone where that cannot be known to work.

use strict;
use warnings;
no warnings 'once';

use Test::More;

use Fake;

# A plugin of somebody else's.
@Somebody::Else::ISA = ('PVE::Storage::LvmThinPlugin');

# What code returns in a process of its own, in which nothing is loaded yet.
sub apart {
    my ($code) = @_;
    pipe(my $from, my $to) or die "pipe: $!";
    my $pid = fork() // die "fork: $!";
    if (!$pid) {
        my $text = eval { $code->() } // "died: $@";
        syswrite($to, $text);
        require POSIX;
        POSIX::_exit(0);
    }
    close($to);
    local $/;
    my $text = <$from>;
    waitpid($pid, 0);
    return $text;
}

# Who serves both types on a host with this version of the interface, and what is complained of.
sub served {
    my ($api, $before) = @_;
    return apart(sub {
        $PVE::Storage::VERSION_OF_API = $api;
        require PVE::Storage;
        $before->() if $before;
        PVE::Storage::load_custom(Fake::plugins());
        my @served = map { PVE::Storage::Plugin->lookup($_) =~ /Custom/ ? 'ours' : 'stock' } qw(lvmthin iscsi);
        return join(' ', @served, map { s/\n/;/gr } @PVE::Storage::COMPLAINTS);
    });
}

is(served($_), 'ours ours', "version $_ of the interface") for 9 .. 15;
like(served(16), qr/\Aours ours .*an older version;.*an older version;\z/, 'a newer version that takes older plugins');
like(served(22), qr/\Astock stock .*too old \(15\);.*too old \(15\);\z/, 'one that does not');
like(served(8), qr/\Astock stock .*newer than this \(9 > 8\);/, 'one that is older than what is known');

is(
    apart(sub {
        require PVE::Storage;
        PVE::Storage::load_custom(Fake::plugins());
        my $private = PVE::Storage::Plugin->private();
        return join(' ', map { "$_ " . join(',', sort keys %{ $private->{options}{$_} }) } qw(lvmthin iscsi));
    }),
    'lvmthin nodes,thinpool,vgname iscsi nodes,portal,target',
    'the properties are those of the stock plugins'
);

like(
    served(15, sub { PVE::Storage::Plugin->private()->{plugins}{lvmthin} = 'Somebody::Else' }),
    qr/thinvol does not serve storages of type 'lvmthin', Proxmox VE's own plugin goes on: the type belongs to 'Somebody::Else'/,
    'a type that another plugin has taken is left to it'
);
like(
    served(15, sub { delete PVE::Storage::Plugin->private()->{plugindata} }),
    qr/\Astock stock .*this version keeps its plugins otherwise.*this version keeps its plugins otherwise/,
    'a host that keeps its plugins otherwise'
);
like(
    served(15, sub {
        my $kept = { %{ PVE::Storage::Plugin->private()->{plugins} } };
        no warnings 'redefine';
        *PVE::Storage::Plugin::lookup = sub { $kept->{ $_[1] } };
    }),
    qr/\Astock stock .*what was registered is not found;/,
    'a host that does not find what was registered has its own plugins back'
);

Fake::put('proxmox.conf', "default off\n");
is(served(15), 'stock stock', 'switched off, nothing is taken over');
Fake::put('proxmox.conf', "type iscsi off\n");
is(served(15), 'ours stock', 'one type is switched off');
Fake::put('proxmox.conf', "default off\nstorage x on\n");
is(served(15), 'ours ours', 'one storage is switched on');

# For a storage that is switched off, every method is the stock plugin's, with all arguments.
Fake::put('proxmox.conf', "storage off off\n");
is(
    apart(sub {
        require PVE::Storage;
        PVE::Storage::load_custom(Fake::plugins());
        Fake::rules();
        my @wrong;
        my %same = map { $_ => 1 } qw(filesystem_path parse_volname volume_snapshot_needs_fsfreeze);
        my %of_stock = map { $_ => 1 } qw(volume_export volume_export_formats volume_import volume_import_formats);
        for my $type (qw(lvmthin iscsi)) {
            my $plugin = PVE::Storage::Plugin->lookup($type);
            my $scfg = { type => $type, vgname => 'pve', thinpool => 'data', target => 'iqn.x', portal => '127.0.0.1' };
            for my $method (grep { !$same{$_} } @PVE::Storage::LVMPlugin::METHODS) {
                next if $type eq 'iscsi' && $method =~ /rename_snapshot|replicate|snapshot_method|snapshot_info/;
                next if $type eq 'iscsi' && $of_stock{$method};
                my @first = ('off', $scfg);
                @first = ($scfg, 'off') if $method =~ /^volume_(?!has|qemu)|^(?:clone_image|rename|get_f|qemu_b|storage_can)/;
                @first = ($scfg, 'snapshot', 'off') if $method eq 'volume_has_feature';
                @first = ($scfg, 'vm-100-disk-0', 'off') if $method eq 'path';
                @PVE::Storage::LVMPlugin::CALLED = ();
                my $got = eval { $plugin->$method(@first, 'vm-100-disk-0') } // "died: $@";
                push @wrong, "$type $method: $got" if $got ne "stock $method";
                push @wrong, "$type $method: @PVE::Storage::LVMPlugin::CALLED"
                    if "@PVE::Storage::LVMPlugin::CALLED" ne "$type $method";
            }
        }
        push @wrong, Fake::calls();
        return join("\n", @wrong);
    }),
    '',
    'a storage that is switched off is served by the stock plugin alone'
);

# For one that is not, none is: what changes or asks is thinvol's.
unlink("$Fake::DIR/proxmox.conf");
is(
    apart(sub {
        require PVE::Storage;
        PVE::Storage::load_custom(Fake::plugins());
        my @inherited;
        for my $type (qw(lvmthin iscsi)) {
            my $plugin = PVE::Storage::Plugin->lookup($type);
            for my $method (@PVE::Storage::LVMPlugin::METHODS) {
                next if $plugin->can($method) != ($plugin =~ /LvmThin/ ? 'PVE::Storage::LvmThinPlugin' : 'PVE::Storage::ISCSIPlugin')->can($method);
                push @inherited, "$type $method";
            }
        }
        return join(', ', sort @inherited);
    }),
    join(', ', sort map({ "iscsi $_" } qw(
        rename_snapshot storage_can_replicate volume_export volume_export_formats volume_import volume_import_formats
        volume_qemu_snapshot_method volume_snapshot_info volume_snapshot_needs_fsfreeze
    ))),
    'what is left to the stock plugins'
);

done_testing();
