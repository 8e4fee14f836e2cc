// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The bill of materials of the bundle in CycloneDX 1.6: each package that something of went in, as the lock file has it.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Enums, Models, Serialize, SPDX, Spec } from '@cyclonedx/cyclonedx-library';

const root = fileURLToPath(new URL('../', import.meta.url));

interface LockedPackage {
  readonly version: string;
  readonly license?: string;
  /** Subresource integrity: algorithm-base64. */
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** Folders of the packages that these files belong to, as package-lock.json names them. */
export function packagesOf(files: readonly string[]): readonly string[] {
  const folders = files.flatMap((file) => {
    // Where node_modules is a link, paths begin elsewhere; packages may lie inside packages.
    const inside = file.slice(Math.max(file.indexOf('node_modules/'), 0));
    return /^node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(inside)?.[0] ?? [];
  });
  return [...new Set(folders)].toSorted();
}

/**
 * The bill as JSON text, for a bundle of these files (paths from the root of the repository). The same files and lock
 * file give the same text: no clock, and a serial number out of the content. Throws when the lock file lacks a package.
 */
export function sbomOf(files: readonly string[]): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, LockedPackage>>;
  };
  const own = lock.packages[''];
  if (own === undefined) throw new Error('read package-lock.json: it does not describe the project');
  const bom = new Models.Bom();
  const product = new Models.Component(Enums.ComponentType.Application, 'stepup', { version: own.version });
  product.bomRef.value = `stepup@${own.version}`;
  product.licenses.add(new Models.SpdxLicense('Apache-2.0'));
  bom.metadata.component = product;

  for (const folder of packagesOf(files)) {
    const locked = lock.packages[folder];
    if (locked?.integrity === undefined) throw new Error(`list ${folder}: package-lock.json does not pin it`);
    const component = componentOf(nameOf(folder), locked);
    if (locked.license !== undefined) component.licenses.add(licenseOf(locked.license));
    bom.components.add(component);
    product.dependencies.add(component.bomRef);
  }
  const spec = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  const text = (space: number) => new Serialize.JsonSerializer(spec).serialize(bom, { sortLists: true, space });
  bom.serialNumber = `urn:uuid:${uuidOf(text(0))}`;
  return `${text(2)}\n`;
}

function componentOf(name: string, { version, integrity = '' }: LockedPackage): Models.Component {
  const [group, plain] = name.startsWith('@') ? (name.split('/') as [string, string]) : [undefined, name];
  const component = new Models.Component(Enums.ComponentType.Library, plain, {
    version,
    ...(group === undefined ? {} : { group }),
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
  });
  component.bomRef.value = `${name}@${version}`;
  const [, hash] = /^sha512-(.+)$/.exec(integrity) ?? [];
  if (hash !== undefined) {
    component.hashes.set(Enums.HashAlgorithm['SHA-512'], Buffer.from(hash, 'base64').toString('hex'));
  }
  return component;
}

function licenseOf(name: string): Models.License {
  if (SPDX.isSupportedSpdxId(name)) return new Models.SpdxLicense(name);
  return / (OR|AND|WITH) /.test(name) ? new Models.LicenseExpression(name) : new Models.NamedLicense(name);
}

function nameOf(folder: string): string {
  return folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

/** A name-based UUID (RFC 9562, version 8) of a text. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = ((Number.parseInt(hex.slice(16, 18), 16) & 0x3f) | 0x80).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(18, 20)}-${hex.slice(20, 32)}`;
}
