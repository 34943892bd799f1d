package Thinvol::Proxmox::Takeover;

# How a plugin of thinvol's takes the place of the one that Proxmox VE has for a type. The type and its properties stay
# Proxmox VE's: no configuration changes, and without thinvol the type is served as before.

use strict;
use warnings;

use Thinvol::Proxmox::Switches;

# The newest version of the interface that this was made for.
my $NEWEST = 15;

# The oldest.
my $OLDEST = 9;

# The version to name to the host: its own, within what this was made for.
sub api {
    my $host = eval { PVE::Storage::APIVER() };
    return $NEWEST if !defined($host) || $host > $NEWEST;
    return $host < $OLDEST ? $OLDEST : $host;
}

# Registers `class` for the type of its parent `stock`. Dies, changing nothing, if the host keeps its plugins otherwise
# than is known; the host says so and goes on with its own.
sub take_over {
    my ($class, $stock) = @_;
    my $type = $class->type();
    return if !Thinvol::Proxmox::Switches::may_be_on($type);
    my $private = $class->private();
    my ($plugins, $data) = ref($private) eq 'HASH' ? @$private{qw(plugins plugindata)} : ();
    my $here = "thinvol does not serve storages of type '$type', Proxmox VE's own plugin goes on:";
    die "$here this version keeps its plugins otherwise\n" if ref($plugins) ne 'HASH' || ref($data) ne 'HASH';
    my $before = $plugins->{$type};
    die "$here the type belongs to '" . ($before // 'nobody') . "'\n" if !defined($before) || $before ne $stock;
    my $described = $data->{$type};
    ($plugins->{$type}, $data->{$type}) = ($class, $class->plugindata());
    my $found = eval { $class->lookup($type) };
    return if defined($found) && $found eq $class;
    ($plugins->{$type}, $data->{$type}) = ($stock, $described);
    die "$here what was registered is not found\n";
}

# Gives `class` its methods, {name => [place of the storage's id among the arguments, code]}. For a storage that is
# switched off they do what `stock` does.
sub methods {
    my ($class, $stock, %methods) = @_;
    for my $name (keys %methods) {
        my ($place, $code) = @{ $methods{$name} };
        my $method = sub {
            my $self = shift;
            return $code->($self, @_) if Thinvol::Proxmox::Switches::is_on($self->type(), $_[$place]);
            my $theirs = $stock->can($name) or die "$name is not supported\n";
            return $theirs->($self, @_);
        };
        no strict 'refs';
        no warnings 'redefine';
        *{"${class}::$name"} = $method;
    }
    return;
}

1;
