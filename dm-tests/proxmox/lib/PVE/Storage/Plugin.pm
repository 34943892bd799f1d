package PVE::Storage::Plugin;

# A stand-in for the class that storage plugins of Proxmox VE derive from, written from its documented interface: enough
# to load plugins, find them by type, and call them. What a plugin must not lean on is missing.

use strict;
use warnings;

my $data = { propertyList => { storage => {}, type => {}, nodes => {}, content => {}, disable => {}, bwlimit => {} } };

sub private { return $data }

sub register {
    my ($class) = @_;
    my $type = $class->type();
    die "type '$type' is registered twice\n" if $data->{plugins}{$type};
    $data->{plugins}{$type} = $class;
    $data->{plugindata}{$type} = $class->plugindata();
    return;
}

sub lookup {
    my ($class, $type) = @_;
    return $data->{plugins}{$type} // die "unknown section type '$type'\n";
}

# Collects what plugins define; two that define the same property keep all of it from loading.
sub init {
    for my $type (sort keys %{ $data->{plugins} }) {
        my $properties = $data->{plugins}{$type}->properties();
        for my $name (sort keys %$properties) {
            die "duplicate property '$name'\n" if $data->{propertyList}{$name};
            $data->{propertyList}{$name} = $properties->{$name};
        }
    }
    for my $type (sort keys %{ $data->{plugins} }) {
        my $options = $data->{plugins}{$type}->options();
        defined($data->{propertyList}{$_}) or die "undefined property '$_'\n" for sort keys %$options;
        $data->{options}{$type} = $options;
    }
    return;
}

sub parse_volume_id {
    my ($volid, $noerr) = @_;
    return ($1, $2) if $volid =~ /\A([a-z][a-z0-9_.-]*[a-z0-9]):(.+)\z/i;
    return if $noerr;
    die "unable to parse volume ID '$volid'\n";
}

sub parse_lvm_name {
    my ($name, $noerr) = @_;
    return $name if $name =~ /\A[a-z0-9][a-z0-9_.-]*[a-z0-9]\z/i;
    return if $noerr;
    die "lvm name '$name' contains illegal characters\n";
}

sub properties { return {} }
sub options { return {} }
sub on_add_hook { return }
sub on_delete_hook { return }
sub on_update_hook_full { return }

sub cluster_lock_storage {
    my ($class, $storeid, $shared, $timeout, $code, @arguments) = @_;
    return $code->(@arguments);
}

sub list_volumes {
    my ($class, $storeid, $scfg, $vmid, $types) = @_;
    return [map { +{ %$_, content => 'images' } } @{ $class->list_images($storeid, $scfg, $vmid) }];
}

1;
