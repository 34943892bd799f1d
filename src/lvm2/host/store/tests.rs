mod commit;
mod crash;
mod faults;
mod read;
mod rig;
mod stock;
