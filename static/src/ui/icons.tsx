/** Line icons, 20 by 20, drawn with the current colour; always beside words or inside a labelled button. */
import type { ReactElement } from "react";

const icon = (paths: ReactElement): (() => ReactElement) =>
  function Icon() {
    return (
      <svg className="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false" fill="none" stroke="currentColor"
        strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round">
        {paths}
      </svg>
    );
  };

export const PlusIcon = icon(<path d="M10 4v12M4 10h12" />);
export const BackIcon = icon(<path d="M12 4.5 6.5 10l5.5 5.5" />);
export const SearchIcon = icon(<><circle cx="8.8" cy="8.8" r="5.3" /><path d="m13 13 4 4" /></>);
export const CloseIcon = icon(<path d="m5 5 10 10M15 5 5 15" />);
export const MoreIcon = icon(
  <g fill="currentColor" stroke="none"><circle cx="4.5" cy="10" r="1.5" /><circle cx="10" cy="10" r="1.5" /><circle cx="15.5" cy="10" r="1.5" /></g>,
);
export const LinkIcon = icon(<><path d="M8.3 11.700a3.4 3.4 0 0 0 4.9 0l2.6-2.600a3.4 3.4 0 0 0-4.9-4.900L9.7 5.4" /><path d="M11.7 8.300a3.4 3.4 0 0 0-4.9 0l-2.6 2.600a3.4 3.4 0 0 0 4.9 4.900l1.2-1.2" /></>);
export const PenIcon = icon(<path d="m4 16 .9-3.6 8.2-8.200a1.6 1.6 0 0 1 2.3 0l.4.400a1.6 1.6 0 0 1 0 2.300l-8.2 8.200L4 16Zm8-10.7 2.7 2.7" />);
export const TrashIcon = icon(<path d="M4 5.800h12M8 5.500V4h4v1.500M5.5 6l.7 10h7.600l.7-10M8.5 9v4.500M11.5 9v4.5" />);
export const RestoreIcon = icon(<path d="M4.5 8.500h7a4 4 0 0 1 0 8H8M4.5 8.5 8 5M4.5 8.5 8 12" />);
export const GlobeIcon = icon(<><circle cx="10" cy="10" r="6.5" /><path d="M3.5 10h13M10 3.500c2.2 2 2.8 4.2 2.8 6.500s-.6 4.5-2.8 6.500c-2.2-2-2.8-4.2-2.8-6.500s.6-4.5 2.8-6.500Z" /></>);
export const LockIcon = icon(<><rect x="4.5" y="9" width="11" height="7.5" rx="1.8" /><path d="M7 9V6.800a3 3 0 0 1 6 0V9" /></>);
export const SunIcon = icon(<><circle cx="10" cy="10" r="3.2" /><path d="M10 2.800v1.700M10 15.500v1.700M2.8 10h1.700M15.5 10h1.700M4.9 4.900l1.2 1.200M13.9 13.900l1.2 1.200M15.1 4.900l-1.2 1.200M6.1 13.900l-1.2 1.2" /></>);
export const MoonIcon = icon(<path d="M16 11.800A6.5 6.5 0 0 1 8.2 4a6.5 6.5 0 1 0 7.8 7.800Z" />);
export const SystemIcon = icon(<><rect x="3" y="4" width="14" height="9.5" rx="1.6" /><path d="M7.5 16.500h5M10 13.500v3" /></>);
export const LeaveIcon = icon(<path d="M8 4H5.500A1.5 1.5 0 0 0 4 5.500v9A1.5 1.5 0 0 0 5.5 16H8M12.5 13l3-3-3-3M15.5 10H8" />);
export const CheckIcon = icon(<path d="m4.5 10.5 3.7 3.7 7.3-8" />);
export const DownloadIcon = icon(<path d="M10 3.500v9M6.2 9 10 12.8 13.8 9M4 16.500h12" />);
export const UploadIcon = icon(<path d="M10 13V4M6.2 7.6 10 3.800l3.8 3.800M4 16.500h12" />);
export const OfflineIcon = icon(<path d="M3.5 3.500l13 13M5.8 8.200a3.6 3.6 0 0 0 .4 7.200h8.300M8.2 5.500a4.5 4.5 0 0 1 6.3 4.1 3 3 0 0 1 1.9 4.6" />);
export const EyeIcon = icon(<><path d="M2.8 10S5.4 5.2 10 5.2 17.2 10 17.2 10 14.6 14.8 10 14.8 2.8 10 2.8 10Z" /><circle cx="10" cy="10" r="2.2" /></>);
export const CopyIcon = icon(<><rect x="7" y="7" width="9.5" height="9.5" rx="1.8" /><path d="M13 7V5.300A1.8 1.8 0 0 0 11.2 3.500H5.300A1.8 1.8 0 0 0 3.5 5.300v5.900A1.8 1.8 0 0 0 5.3 13H7" /></>);
export const FilesIcon = icon(<><rect x="3" y="5.5" width="11" height="10.5" rx="1.8" /><path d="M6.500 5.500V4.800A1.8 1.8 0 0 1 8.300 3h6.900A1.8 1.8 0 0 1 17 4.800v6.400a1.8 1.8 0 0 1-1.8 1.800H14" /><path d="m3.500 13.500 3-3 2.500 2.300 1.700-1.500 3 2.700" /></>);
export const FileIcon = icon(<><path d="M5 4.800A1.8 1.8 0 0 1 6.800 3h4.700L15.500 7v8.200a1.800 1.8 0 0 1-1.8 1.800H6.800A1.8 1.8 0 0 1 5 15.200Z" /><path d="M11.500 3v4h4" /></>);
export const FilmIcon = icon(<><rect x="3" y="4.500" width="14" height="11" rx="1.8" /><path d="m8.500 7.500 4 2.500-4 2.500Z" /></>);
export const RetryIcon = icon(<path d="M15.500 8.500A6 6 0 1 0 16 11.500M16 4.500v4h-4" />);
export const HistoryIcon = icon(<><path d="M3.500 10a6.500 6.500 0 1 0 2-4.700L3.500 7.200M3.500 3.800v3.400h3.400" /><path d="M10 6.500V10l2.600 1.700" /></>);
export const ImageOutIcon = icon(<><path d="M10.500 4H5.300A1.8 1.8 0 0 0 3.500 5.800v8.900a1.8 1.8 0 0 0 1.800 1.800h8.900a1.8 1.8 0 0 0 1.800-1.800V10" /><path d="m4 14.500 3.200-3.500 2.600 2.500 1.600-1.500 3.600 3.500M12.500 3.500H16.500V7.500M16.200 3.800 11.500 8.500" /></>);
export const CommentIcon = icon(<path d="M5.300 4h9.400A1.800 1.800 0 0 1 16.500 5.800v6.400a1.800 1.800 0 0 1-1.800 1.800H9.500L5.500 17v-3h-.2a1.800 1.800 0 0 1-1.800-1.800V5.800A1.800 1.800 0 0 1 5.300 4ZM7 7.800h6M7 10.500h4" />);
export const PeopleIcon = icon(<><circle cx="7.5" cy="7" r="2.8" /><path d="M2.500 16a5 5 0 0 1 10 0M12.500 4.500a2.600 2.600 0 0 1 0 5M14 11.300a5 5 0 0 1 3.500 4.700" /></>);
export const KeyIcon = icon(<><circle cx="6.500" cy="12.500" r="3.300" /><path d="m9 10.200 6.500-6.500M13 6.200l2.300 2.300M11 8.200l1.500 1.500" /></>);
export const PersonIcon = icon(<><circle cx="10" cy="7" r="3.100" /><path d="M4 16.500a6 6 0 0 1 12 0" /></>);
